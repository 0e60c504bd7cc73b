"""The contents of a labelled data source, one row per volume."""

from typing import NamedTuple

import numpy as np

from jaxnas.data.labeled import CLASSES, LabeledSource, LabeledVolume, annotated


class LabeledRow(NamedTuple):
    """A volume: name, patient, phase, group, shape (Z, H, W), spacing (dz, dy, dx) in mm.

    `millilitres` is the volume of every annotated class by its name, None without labels.
    """

    name: str
    patient: str
    phase: str
    group: str | None
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    millilitres: dict[str, float] | None


def summarise_labeled(source: LabeledSource) -> list[LabeledRow]:
    """One row per volume of `source`, in order; reads every one of them."""
    return [_row(source.read(i), annotated(source)) for i, _ in enumerate(source.volumes)]


def _row(volume: LabeledVolume, names: tuple[str, ...]) -> LabeledRow:
    millilitres = None
    if volume.labels is not None:
        counts = np.bincount(volume.labels.ravel(), minlength=len(CLASSES))
        voxel = np.prod(volume.spacing) / 1000
        millilitres = {name: float(counts[CLASSES.index(name)] * voxel) for name in names}
    return LabeledRow(
        volume.name,
        volume.patient,
        volume.phase,
        volume.group,
        volume.image.shape,
        volume.spacing,
        millilitres,
    )
