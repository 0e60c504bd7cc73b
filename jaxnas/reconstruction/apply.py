"""A trained network at work: volumes in, magnitude images in the file's units out.

As an artefact it does so without this library.
"""

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.batches import prefetch
from jaxnas.data.fastmri import Volume
from jaxnas.data.sampling import empty_share
from jaxnas.data.source import Slice, Source
from jaxnas.data.transforms import center_crop
from jaxnas.data.views import first_filled, warn_of_origin
from jaxnas.engine.networks import Artefact, Trained
from jaxnas.engine.run import Run
from jaxnas.mri.acquisition import in_scan_units, measure
from jaxnas.mri.complexes import magnitude
from jaxnas.mri.masks import make_mask, mask_shape
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.reconstruction.deploy import Applied, acquisition_of, deploy, image_of
from jaxnas.reconstruction.scoring import ReconstructionMethod, as_pytree

UNDER_WAY = 2  # batches on the device: one is computed while the one before is copied back
_CHUNKS_AHEAD = 2  # batches decoded ahead


class Compiled:
    """A reconstruction method compiled ahead of its use, once for every shape of its batches.

    `compile_s` adds up the seconds that tracing and compiling took.
    """

    def __init__(self, method: ReconstructionMethod, *, peak: float) -> None:
        self.method = jax.device_put(as_pytree(method))
        self.compile_s = 0.0
        self._peak = peak
        self._programs: dict[tuple, jax.stages.Compiled] = {}

    def __call__(self, batch: Mapping[str, np.ndarray], *, size: tuple[int, int]) -> jax.Array:
        """Magnitudes float32 (B, *size) in the units of the batch; dispatched, not waited for.

        `batch` holds `kspace`, `mask` and, with several coils, `sens`, as `measure` takes them;
        images are cropped to `size`.
        """
        place = (size, *((name, x.shape) for name, x in batch.items()))
        if place not in self._programs:
            start = time.perf_counter()
            apply = jax.jit(partial(_images, size=size, peak=self._peak))
            self._programs[place] = apply.lower(self.method, batch).compile()
            self.compile_s += time.perf_counter() - start
        return self._programs[place](self.method, jax.device_put(batch))


def _images(
    method: ReconstructionMethod,
    batch: Mapping[str, jax.Array],
    *,
    size: tuple[int, int],
    peak: float,
) -> jax.Array:
    measurement = measure(batch["kspace"], batch["mask"], batch.get("sens"), peak=peak)
    image = center_crop(magnitude(method(measurement)), size)
    return in_scan_units(image, measurement)


def reconstruct_slices(
    method: Compiled,
    source: Source,
    acquisition: AcquisitionConfig,
    *,
    size: tuple[int, int],
    acceleration: float | None = None,
    batch: int = 1,
) -> Iterator[np.ndarray]:
    """The magnitudes float32, cropped to `size`, of a volume, slice after slice.

    Slices run `batch` at a time while the next are decoded, so memory does not grow with their
    number. An undersampled file is taken as it is. A fully sampled one is undersampled first, by a
    mask of `acceleration` seeded by its name; without an acceleration it is refused with UserError.
    """
    chunks = _Chunks(source, acquisition, acceleration, min(batch, len(source.slices)))
    return islice(_stream(method, chunks, size), len(source.slices))


def image_size(volume: Volume) -> tuple[int, int]:
    """Height and width of a volume's images: as the file asks for, at most those of k-space."""
    if volume.image_size is None:
        return volume.shape
    height, width = (min(n, m) for n, m in zip(volume.image_size, volume.shape))
    return height, width


def _stream(method: Compiled, chunks: "_Chunks", size: tuple[int, int]) -> Iterator[np.ndarray]:
    under_way: deque[jax.Array] = deque()
    with closing(prefetch(chunks, 0, chunks.count, workers=1, depth=_CHUNKS_AHEAD)) as stream:
        for chunk in stream:
            under_way.append(method(chunk, size=size))
            if len(under_way) == UNDER_WAY:
                yield from np.asarray(under_way.popleft())
        while under_way:
            yield from np.asarray(under_way.popleft())


class _Chunks:
    """The slices of a source, `size` at a time; the last chunk repeats its last slice."""

    def __init__(
        self,
        source: Source,
        acquisition: AcquisitionConfig,
        acceleration: float | None,
        size: int,
    ) -> None:
        self.source, self.acquisition, self.acceleration = source, acquisition, acceleration
        self.size = size
        self.count = math.ceil(len(source.slices) / size)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The arrays of chunk `step` as `Compiled` takes them."""
        last = len(self.source.slices) - 1
        rows = range(step * self.size, min((step + 1) * self.size - 1, last) + 1)
        items = [self.source.read(i) for i in rows]
        items += (self.size - len(items)) * items[-1:]
        masks = [sampled(item, self.acquisition, acceleration=self.acceleration) for item in items]
        shape = np.broadcast_shapes(*(mask.shape for mask in masks))
        batch = {
            "kspace": np.stack([item.kspace for item in items]),
            "mask": np.stack([np.broadcast_to(m, shape) for m in masks]).astype(np.float32),
        }
        if items[0].sens is not None:
            batch["sens"] = np.stack([item.sens for item in items if item.sens is not None])
        return batch


def sampled(
    item: Slice, acquisition: AcquisitionConfig, *, acceleration: float | None
) -> np.ndarray:
    """True where sampled, bool (1 | H, W): by the file, or in a simulated scan without noise.

    UserError where a fully sampled slice has no `acceleration`, or an undersampled one has one.
    """
    if not item.kspace.any():  # nothing to see, and nothing to tell what was sampled
        return item.sampled
    if item.mask is not None and acceleration is not None:
        raise UserError(
            f"{item.volume}: is undersampled already, slice {item.index} without "
            f"{empty_share(item.mask)}, so --acceleration {acceleration:g} cannot apply; expected "
            "fully sampled k-space, leave the option out to take the file as it is"
        )
    if item.mask is not None:
        return item.sampled
    if acceleration is None:
        raise UserError(
            f"{item.volume}: every column of kspace is sampled, there is nothing to reconstruct; "
            f"give --acceleration to undersample it first, such as --acceleration "
            f"{acquisition.accelerations[0]:g}"
        )
    fractions = dict(zip(acquisition.accelerations, acquisition.center_fractions))
    nearest = min(fractions, key=lambda known: abs(known - acceleration))
    mask = make_mask(
        acquisition.mask,
        item.kspace.shape[-2:],
        accelerations=(acceleration,),
        center_fractions=(fractions[nearest],),
        seed=item.volume,
    )
    return mask.samples & item.sampled


def check_applicable(
    source: Source, acquisition: AcquisitionConfig, *, acceleration: float | None
) -> None:
    """UserError as `sampled` for a source of one volume, after reading one slice of it."""
    item = first_filled(source, range(len(source.slices)))
    if item is not None:
        warn_of_origin(item)
        sampled(item, acquisition, acceleration=acceleration)


def reconstruction_artefact(run: Run, trained: Trained) -> Artefact:
    """kspace complex64 (B, H, W), mask float32 (B, 1 | H, W) → complex64 image in units of kspace.

    H and W are those of the run's data, the mask is of the shape of those it was trained with.
    Scaling is inside.
    """
    acquisition = acquisition_of(run, trained.choice.client)
    net, params, _ = deploy(Applied(trained.net, trained.variables["params"], acquisition))
    (height, width), coils = image_of(run)
    if coils > 1:
        raise UserError(f"{run.path}: export knows single-coil networks, found {coils} coils")

    def apply(kspace, mask):
        measurement = measure(kspace, mask, None, peak=acquisition.peak)
        image: Any = net.apply({"params": params}, measurement)
        return in_scan_units(image, measurement)

    rows, _ = mask_shape(acquisition.mask, (height, width))
    facts = {
        **trained.choice.to_json(),
        "inputs": {
            "kspace": f"complex64 (b, {height}, {width}), centred, unitary, 0 where unsampled",
            "mask": f"float32 (b, {rows}, {width}), 1 where sampled",
        },
        "output": f"complex64 (b, {height}, {width}), in the units of kspace",
    }
    arguments = (("kspace", jnp.complex64, (height, width)), ("mask", jnp.float32, (rows, width)))
    return Artefact(apply, arguments, facts)
