"""Reconstructs a set of volumes with every method and scores each slice.

Every method sees the same k-space and, per volume and acceleration, the same mask.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from jax.tree_util import Partial

from jaxnas.core.errors import UserError
from jaxnas.core.notices import warn
from jaxnas.data.batches import stack
from jaxnas.data.source import Source
from jaxnas.data.views import FullySampled
from jaxnas.metrics import image as metrics
from jaxnas.mri.acquisition import Measurement, in_scan_units, zero_filled
from jaxnas.mri.complexes import magnitude
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.mri.tv import tv_reconstruct
from jaxnas.reconstruction.acquire import fixed_example, named_masks
from jaxnas.reconstruction.section import EvaluateConfig

ReconstructionMethod = Callable[[Measurement], jax.Array]


class SliceScore(NamedTuple):
    """One slice: magnitudes in the file's units, the data range is the target's maximum."""

    model: str
    volume: str
    slice: int
    acceleration: int | float
    mse: float
    nmse: float
    psnr: float
    ssim: float


class VolumeScore(NamedTuple):
    """One volume by the fastMRI convention: the data range is the volume's maximum."""

    model: str
    volume: str
    acceleration: int | float
    nmse: float
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Evaluation:
    """All scores, and one slice to look at.

    `examples` holds `<acceleration>/target`, `/mask` (W,) or (H, W) and `/<model>` (H, W), float32
    magnitudes in the file's units; `pictured` says where that slice is from.
    """

    slices: tuple[SliceScore, ...]
    volumes: tuple[VolumeScore, ...]
    examples: Mapping[str, np.ndarray]
    pictured: Mapping[str, Mapping[str, Any]]


def network_reconstructor(net: nn.Module, params: Any) -> ReconstructionMethod:
    """A trained network as a reconstructor; its weights stay arguments of compiled code."""
    return Partial(_apply, Partial(net.apply), params)


def classical_reconstructors(config: EvaluateConfig) -> dict[str, ReconstructionMethod]:
    """The untrained reconstructions of `config`, by name."""
    weight = {} if config.tv.weight is None else {"weight": config.tv.weight}
    tv = functools.partial(tv_reconstruct, iterations=config.tv.iterations, **weight)
    known = {"zero_filled": zero_filled, "tv": tv}
    return {name: known[name] for name in config.classical}


def evaluate_reconstruction(
    reconstructors: Mapping[str, ReconstructionMethod],
    source: Source,
    indices: Sequence[int],
    acquisition: AcquisitionConfig,
    *,
    batch: int = 4,
) -> Evaluation:
    """Scores every reconstructor on the slices `indices` of `source` at every acceleration.

    A reconstructor maps a Measurement to images complex64 (B, H, W) in scaled units. Slices run
    `batch` at a time; one whose target is empty has no score. Raises UserError if there is nothing
    to evaluate, or k-space that is not fully sampled.
    """
    source = FullySampled(source)
    if not indices:
        raise UserError("nothing to evaluate: the test split is empty; change data.split")
    methods = {name: as_pytree(f) for name, f in reconstructors.items()}
    labels = [_label(acceleration) for acceleration in acquisition.accelerations]
    slices: list[SliceScore] = []
    volumes: list[VolumeScore] = []
    examples: dict[str, np.ndarray] = {}
    pictured: dict[str, dict[str, Any]] = {}
    empty = 0
    for volume, group in _by_volume(source, indices):
        numbers = [source.slices[i].index for i in group]
        target, images = _reconstruct(methods, source, group, acquisition, batch)
        for (a, name), image in images.items():
            new_slices, volume_score = _score(name, volume, numbers, labels[a], target, image)
            slices += new_slices
            volumes += volume_score
        empty += len(group) - len(_filled(target))
        if not pictured and len(_filled(target)):
            middle = min(_filled(target), key=lambda s: abs(s - len(group) // 2))
            examples = _picture(target, images, middle, volume, acquisition)
            place = {"volume": volume, "slice": numbers[middle]}
            pictured = {str(label): place for label in labels}
    if empty:
        warn(f"{empty} of {len(indices)} slices to evaluate are empty; they have no score")
    return Evaluation(tuple(slices), tuple(volumes), examples, pictured)


def _by_volume(source: Source, indices: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
    """Runs of slices of one volume and one shape, in order."""

    def kind(i: int) -> tuple:
        ref = source.slices[i]
        return ref.volume, ref.shape, ref.coils

    for (volume, *_), group in itertools.groupby(indices, kind):
        yield volume, list(group)


def _reconstruct(
    methods: Mapping[str, Partial],
    source: Source,
    group: Sequence[int],
    acquisition: AcquisitionConfig,
    batch: int,
) -> tuple[np.ndarray, dict[tuple[int, str], np.ndarray]]:
    """Magnitudes (S, H, W) in the file's units: the target's, and by acceleration and method."""
    targets: list[np.ndarray] = []
    images: dict[tuple[int, str], list[np.ndarray]] = {}
    for start in range(0, len(group), batch):
        part = group[start : start + batch]
        padding = [part[-1]] * (batch - len(part))  # one shape, so every method compiles once
        data, places = _read(source, [*part, *padding])
        for a in range(len(acquisition.accelerations)):
            measurement, target = fixed_example(data, places, acquisition, a)
            if a == 0:
                target = np.asarray(magnitude(target) / measurement.scale[:, None, None])
                targets += [*target[: len(part)]]
            for name, method in methods.items():
                image = np.asarray(_magnitude_of(method, measurement))
                images.setdefault((a, name), []).extend(image[: len(part)])
    return np.stack(targets), {place: np.stack(stack) for place, stack in images.items()}


def _read(
    source: Source, indices: Sequence[int]
) -> tuple[dict[str, np.ndarray], list[tuple[str, int]]]:
    items = [source.read(i) for i in indices]
    return stack(items, indices=indices), [(item.volume, item.index) for item in items]


def _score(
    model: str,
    volume: str,
    numbers: Sequence[int],
    acceleration: int | float,
    target: np.ndarray,
    image: np.ndarray,
) -> tuple[list[SliceScore], list[VolumeScore]]:
    """Scores of the slices (S, H, W) that show anything, and of the volume if any does."""
    filled = _filled(target)
    if not len(filled):
        return [], []
    # A power of two: errors are squared without leaving float32, and nothing is rounded.
    unit = np.ldexp(1.0, np.frexp(target.max())[1])
    per_slice, per_volume = jax.device_get(
        _measures(*(np.float32(x / np.float32(unit)) for x in (target, image)))
    )
    mse, *others = np.asarray(per_slice, np.float64)
    slices = [
        SliceScore(model, volume, numbers[s], acceleration, *map(float, scores))
        for s, scores in enumerate(zip(mse * unit**2, *others))
        if s in filled
    ]
    return slices, [VolumeScore(model, volume, acceleration, *map(float, per_volume))]


def _filled(target: np.ndarray) -> np.ndarray:
    """The slices of (S, H, W) that show anything."""
    return np.flatnonzero(target.max(axis=(-2, -1)) > 0)


@jax.jit
def _measures(target: jax.Array, image: jax.Array) -> tuple[tuple, tuple]:
    """(mse, nmse, psnr, ssim) per slice (S,) and (nmse, psnr, ssim) of the volume (S, H, W)."""
    peak = target.max(axis=(-2, -1))
    per_slice = (
        metrics.mse(target, image),
        metrics.nmse(target, image),
        metrics.psnr(target, image, data_range=peak),
        metrics.ssim(target, image, data_range=peak),
    )
    per_volume = (
        metrics.volume_nmse(target, image),
        metrics.volume_psnr(target, image),
        metrics.volume_ssim(target, image),
    )
    return per_slice, per_volume


def _picture(
    target: np.ndarray,
    images: Mapping[tuple[int, str], np.ndarray],
    middle: int,
    volume: str,
    acquisition: AcquisitionConfig,
) -> dict[str, np.ndarray]:
    """Slice `middle` of a volume as every method shows it."""
    examples = {}
    for a, acceleration in enumerate(acquisition.accelerations):
        label = _label(acceleration)
        examples[f"{label}/target"] = target[middle]
        (mask,) = named_masks([volume], target.shape[-2:], acquisition, a)
        examples[f"{label}/mask"] = mask.squeeze()  # one row says all of whole columns
        for (at, name), image in images.items():
            if at == a:
                examples[f"{label}/{name}"] = image[middle]
    return examples


def _label(acceleration: float) -> int | float:
    """4.0 is written 4."""
    return int(acceleration) if acceleration == int(acceleration) else acceleration


def as_pytree(reconstructor: ReconstructionMethod) -> Partial:
    """A reconstructor as an argument of compiled code."""
    return reconstructor if isinstance(reconstructor, Partial) else Partial(reconstructor)


def _apply(apply: Callable, params: Any, measurement: Measurement) -> jax.Array:
    return apply({"params": params}, measurement)


@jax.jit
def _magnitude_of(method: Partial, measurement: Measurement) -> jax.Array:
    return in_scan_units(magnitude(method(measurement)), measurement)
