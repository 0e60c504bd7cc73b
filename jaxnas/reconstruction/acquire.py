"""Training and evaluation examples from fully sampled k-space.

A batch is a dict as `data.batches` makes it: `kspace` complex64 (B, [C,] H, W), fully sampled,
`sens` complex64 (B, C, H, W) where there are several coils, and, where known, `columns` bool
(B, W): the columns that were encoded, the others being zero padding. It may bring what to train
with: `mask` float32 (B, 1 | H, W), and `noise` float32 (B,), the levels.

Masks are drawn by `acquisition.mask`. With a level σ = `acquisition.noise` above 0 every sampled
value of k-space gets complex Gaussian noise of standard deviation σ max |x|, σ max |x| / √2 in
either part, each coil its own; x is the slice's fully sampled image. The transform is unitary, so
a fully sampled single-coil image would have that much noise in every pixel. The target has none.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core import rng
from jaxnas.mri import acquisition as mri
from jaxnas.mri.complexes import magnitude
from jaxnas.mri.masks import MASKS, draw_random_mask, make_mask, validate
from jaxnas.mri.section import AcquisitionConfig

Batch = Mapping[str, jax.Array]
Example = tuple[mri.Measurement, jax.Array]

SHOWN, HIDDEN = 1e-3, -1e9
BANK = 64  # training masks per acceleration of the kinds that only NumPy draws


def make_example(
    key: jax.Array, batch: Batch, acquisition: AcquisitionConfig, *, rows: int | None = None
) -> Example:
    """A training example with the batch's own masks, else drawn from `key`; for a jitted step.

    Returns the measurement and its target complex64 (B, H, W), in the measurement's scaled units.
    A drawn mask is an item's own, and so are its acceleration and its noise. With `rows`, for masks
    of whole columns, the batch is cut to one random strip of that many rows (of all rows where
    there are fewer), scaled as the whole slice; strips that show nothing are not drawn.
    """
    count, *_, height, width = batch["kspace"].shape
    key_mask, key_start = jax.random.split(key)
    masks = batch.get("mask")
    if masks is None:
        masks = draw_masks(key_mask, count, (height, width), acquisition)
    noise = draw_noise(rng.stream(key, "noise", 0), batch, acquisition)
    measurement, target = simulate(batch, masks, noise=noise, peak=acquisition.peak)
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
    batch: Mapping[str, jax.Array | np.ndarray],
    places: Sequence[tuple[str, int]],
    acquisition: AcquisitionConfig,
    index: int,
) -> Example:
    """An evaluation example at the acceleration number `index`, the same on every machine.

    `places` are the volume and the slice of every item. The mask is seeded by the name of the
    volume, as fastMRI does, so all slices of a volume share it; the noise by name and slice, so it
    is the same at every acceleration. Otherwise as `make_example`.
    """
    *_, height, width = shape = batch["kspace"].shape
    masks = named_masks([volume for volume, _ in places], (height, width), acquisition, index)
    noise = named_noise(places, shape[1:], acquisition.noise) if acquisition.noise else None
    return _simulate(dict(batch), masks, noise=noise, peak=acquisition.peak)


def simulate(
    batch: Batch, mask: jax.Array, *, noise: jax.Array | None = None, peak: float
) -> Example:
    """Undersamples a batch with `mask` float32 (B, 1 | H, W), scaled to max |A^H y| = `peak`.

    `noise` complex64, of the shape of k-space, is in units of max |x|. Padding columns count as not
    sampled: their zeros were never measured. Raises ValueError for k-space with a coil axis but
    without `sens`.
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
    target = mri.target(kspace, sens)
    if noise is not None:
        kspace = kspace + noise * _per_item(magnitude(target).max(axis=(-2, -1)), kspace.ndim)
    measurement = mri.measure(kspace, mask, sens, peak=peak)
    return measurement, target * _per_item(measurement.scale, target.ndim)


_simulate = jax.jit(simulate, static_argnames="peak")


def draw_noise(key: jax.Array, batch: Batch, acquisition: AcquisitionConfig) -> jax.Array | None:
    """Noise for training in units of max |x|, complex64 like the batch's k-space; None for none.

    Its level is the batch's own, else that of `acquisition`.
    """
    shape = batch["kspace"].shape
    if "noise" not in batch and acquisition.noise == 0:
        return None
    level = batch["noise"] if "noise" in batch else jnp.full(shape[:1], acquisition.noise)
    # JAX's complex normal numbers have variance 1, 1/2 in either part.
    return jax.random.normal(key, shape, jnp.complex64) * _per_item(level, len(shape))


def named_noise(
    places: Sequence[tuple[str, int]], shape: Sequence[int], level: float
) -> np.ndarray:
    """The evaluation noise of slices, by volume and number: complex64 (len(places), *shape)."""
    noise = []
    for volume, number in places:
        generator = np.random.RandomState((*map(ord, volume), number))
        real, imaginary = generator.standard_normal((2, *shape)) * (level / np.sqrt(2))
        noise.append(real + 1j * imaginary)
    return np.stack(noise).astype(np.complex64)


def check_masks(acquisition: AcquisitionConfig, sizes: Iterable[tuple[int, int]]) -> None:
    """UserError unless a mask of every acceleration can be drawn for k-space of all `sizes`."""
    for size in sorted(sizes):
        validate(
            acquisition.mask,
            accelerations=acquisition.accelerations,
            center_fractions=acquisition.center_fractions,
            size=size,
        )


def draw_masks(
    key: jax.Array, count: int, size: tuple[int, int], acquisition: AcquisitionConfig
) -> jax.Array:
    """Random training masks for k-space of `size`, float32 (count, 1 | H, W) of zeros and ones.

    The kinds whose samples are drawn each on its own are drawn on the device. The others are drawn
    by NumPy, once: `key` picks among `BANK` masks of every acceleration.
    """
    if MASKS[acquisition.mask].chances is not None:
        return draw_random_mask(
            key,
            (count,),
            kind=acquisition.mask,
            size=size,
            accelerations=acquisition.accelerations,
            center_fractions=acquisition.center_fractions,
        )
    bank = jnp.asarray(_mask_bank(acquisition, size))
    return bank[jax.random.randint(key, (count,), 0, len(bank))].astype(jnp.float32)


def named_masks(
    names: Sequence[str], size: tuple[int, int], acquisition: AcquisitionConfig, index: int
) -> np.ndarray:
    """The evaluation masks of volumes `names` at acceleration number `index`: float32
    (len(names), 1 | H, W)."""
    masks = {name: _mask(acquisition, size, index, name) for name in dict.fromkeys(names)}
    return np.stack([masks[name] for name in names]).astype(np.float32)


def seeded_mask(acquisition: AcquisitionConfig, size: tuple[int, int], seed: int) -> np.ndarray:
    """A training mask of any acceleration drawn on the host, bool (1 | H, W).

    Poisson discs, which take milliseconds, are picked from the bank.
    """
    if acquisition.mask == "poisson":
        bank = _mask_bank(acquisition, size)
        return bank[seed % len(bank)]
    return make_mask(
        acquisition.mask,
        size,
        accelerations=acquisition.accelerations,
        center_fractions=acquisition.center_fractions,
        seed=seed,
    ).samples


@functools.lru_cache(maxsize=16)
def _mask_bank(acquisition: AcquisitionConfig, size: tuple[int, int]) -> np.ndarray:
    """Bool (accelerations · BANK, 1 | H, W): as many of every acceleration."""
    indices = range(len(acquisition.accelerations))
    return np.stack([_mask(acquisition, size, i, n) for i in indices for n in range(BANK)])


def _mask(
    acquisition: AcquisitionConfig, size: tuple[int, int], index: int, seed: int | str
) -> np.ndarray:
    return make_mask(
        acquisition.mask,
        size,
        accelerations=acquisition.accelerations[index : index + 1],
        center_fractions=acquisition.center_fractions[index : index + 1],
        seed=seed,
    ).samples


def _per_item(values: jax.Array, rank: int) -> jax.Array:
    """Values (B,) with unit axes up to `rank`."""
    return values.reshape(values.shape + (1,) * (rank - values.ndim))
