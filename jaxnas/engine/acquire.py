"""From fully sampled k-space to training and evaluation examples.

A batch is a dict as `data.batches` makes it: `kspace` complex64 (B, [C,] H, W), fully sampled,
`sens` complex64 (B, C, H, W) where there are several coils, and, where known, `columns` bool
(B, W): the columns that were encoded, the others being zero padding. It may bring the masks to
train with: `mask` float32 (B, 1, W).
"""

import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.schema import AcquisitionConfig
from jaxnas.mri import acquisition as mri
from jaxnas.mri.masks import make_mask
from jaxnas.mri.random_mask import draw_random_mask

Batch = Mapping[str, jax.Array]
Example = tuple[mri.Measurement, jax.Array]

SHOWN, HIDDEN = 1e-3, -1e9
BANK = 64  # training masks per acceleration of the kinds that only NumPy draws


def make_example(
    key: jax.Array, batch: Batch, acquisition: AcquisitionConfig, *, rows: int | None = None
) -> Example:
    """A training example with the batch's own masks, else drawn from `key`; for a jitted step.

    Returns the measurement and its target complex64 (B, H, W), in the measurement's scaled units.
    A drawn mask is an item's own, and so is its acceleration. With `rows` the batch is cut to one
    random strip of that many rows (of all rows where there are fewer), scaled as the whole slice;
    strips that show nothing are not drawn.
    """
    (size, *_, height, columns) = batch["kspace"].shape
    key_mask, key_start = jax.random.split(key)
    masks = batch["mask"] if "mask" in batch else draw_masks(key_mask, size, columns, acquisition)
    measurement, target = simulate(batch, masks, peak=acquisition.peak)
    if rows is None or rows >= height:
        return measurement, target
    start = draw_strip(key_start, target, rows=rows)
    return mri.readout_strip(measurement, target, start, rows=rows)


def draw_strip(key: jax.Array, image: jax.Array, *, rows: int) -> jax.Array:
    """The first of `rows` rows of a batch (B, H, W), an int32 scalar.

    Drawn evenly among the strips that hold at least `SHOWN` of the energy of an item's best strip,
    for every item, or among all strips where there is none. A strip of air teaches nothing, and
    instance norms amplify its rounding errors layer by layer until a gradient overflows.
    """
    energy = jnp.square(jnp.abs(image)).sum(axis=-1)
    total = jnp.pad(jnp.cumsum(energy, axis=-1), ((0, 0), (1, 0)))
    strips = total[:, rows:] - total[:, :-rows]
    shown = (strips >= SHOWN * strips.max(axis=-1, keepdims=True)).all(axis=0)
    return jax.random.categorical(key, jnp.where(shown, 0.0, HIDDEN))


def fixed_example(
    batch: Batch, names: Sequence[str], acquisition: AcquisitionConfig, index: int
) -> Example:
    """An evaluation example at the acceleration number `index`, the same on every machine.

    The mask of an item is seeded by the name of its volume, as fastMRI does, so all slices of a
    volume share it. Otherwise as `make_example`.
    """
    masks = named_masks(names, batch["kspace"].shape[-1], acquisition, index)
    return _simulate(dict(batch), masks, peak=acquisition.peak)


def simulate(batch: Batch, mask: jax.Array, *, peak: float) -> Example:
    """Undersamples a batch with `mask` float32 (B, 1, W), scaled to max |A^H y| = `peak`.

    Padding columns count as not sampled: their zeros were never measured. Raises ValueError for
    k-space with a coil axis but without `sens`.
    """
    kspace, sens = batch["kspace"], batch.get("sens")
    expected = 3 if sens is None else 4
    if kspace.ndim != expected:
        raise ValueError(
            f"expected kspace of rank {expected} {'without' if sens is None else 'with'} sens, "
            f"found shape {kspace.shape}"
        )
    if "columns" in batch:
        mask = mask * batch["columns"][:, None, :]
    measurement = mri.measure(kspace, mask, sens, peak=peak)
    return measurement, mri.target(kspace, sens) * measurement.scale[:, None, None]


_simulate = jax.jit(simulate, static_argnames="peak")


def draw_masks(
    key: jax.Array, count: int, columns: int, acquisition: AcquisitionConfig
) -> jax.Array:
    """Random training masks, float32 (count, 1, columns) of zeros and ones.

    Kind `random` is drawn on the device. The other kinds are drawn by NumPy, once: `key` picks
    among `BANK` masks of every acceleration.
    """
    if acquisition.mask == "random":
        return draw_random_mask(
            key,
            (count,),
            columns=columns,
            accelerations=acquisition.accelerations,
            center_fractions=acquisition.center_fractions,
        )
    bank = jnp.asarray(_mask_bank(acquisition, columns), jnp.float32)
    return bank[jax.random.randint(key, (count,), 0, len(bank))][:, None, :]


def named_masks(
    names: Sequence[str], columns: int, acquisition: AcquisitionConfig, index: int
) -> np.ndarray:
    """The evaluation masks of volumes `names` at acceleration number `index`: float32
    (len(names), 1, columns)."""
    rows = [_mask(acquisition, columns, index, name) for name in names]
    return np.stack(rows)[:, None, :].astype(np.float32)


@functools.lru_cache(maxsize=16)
def _mask_bank(acquisition: AcquisitionConfig, columns: int) -> np.ndarray:
    """Bool (accelerations · BANK, columns): as many of every acceleration."""
    indices = range(len(acquisition.accelerations))
    return np.stack([_mask(acquisition, columns, i, n) for i in indices for n in range(BANK)])


def _mask(acquisition: AcquisitionConfig, columns: int, index: int, seed: int | str) -> np.ndarray:
    return make_mask(
        acquisition.mask,
        columns,
        accelerations=acquisition.accelerations[index : index + 1],
        center_fractions=acquisition.center_fractions[index : index + 1],
        seed=seed,
    ).columns
