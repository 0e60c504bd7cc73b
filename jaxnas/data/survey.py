"""Reading every labelled volume once: what a source holds, and all that would stop a long run."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import LabeledSource, LabeledVolume, annotated
from jaxnas.data.check import Problem
from jaxnas.data.files import PathLike, listed, why_left_out
from jaxnas.data.registry import LABELED_READERS


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


def check_labeled(
    kind: str, paths: PathLike, *, labels: Sequence[str] | None = None
) -> list[Problem]:
    """Opens every patient or file of data set `kind` and reads every volume; all problems.

    `kind` is one of LABELED_READERS, `labels` as in `open_labeled`. An image of one value is a
    problem that is not certain. An empty list means that the data can be used.
    """
    problems, reader = [], LABELED_READERS[kind]
    for path in map(Path, listed(paths)):
        try:
            found = reader.find(path)
            rest = reader.left_out(path)
        except UserError as error:
            problems.append(Problem(path, str(error)))
        else:
            why = partial(why_left_out, expected=reader.expected)
            problems += [Problem(entry, why(entry)) for entry in rest]
            problems += [problem for part in found for problem in _check_part(part, kind, labels)]
    return problems


def _check_part(part: Path, kind: str, labels: Sequence[str] | None) -> list[Problem]:
    try:
        source = LABELED_READERS[kind].open(part, "all", labels)
    except UserError as error:
        return [Problem(part, str(error))]
    problems = []
    for i in range(len(source.volumes)):
        try:
            volume = source.read(i)
        except UserError as error:
            problems.append(Problem(part, str(error)))
        else:
            problems += _doubts(part, volume)
    return problems


def _doubts(part: Path, volume: LabeledVolume) -> list[Problem]:
    low, high = volume.image.min(), volume.image.max()
    if low < high:
        return []
    text = f"{part}: {volume.name} is {low:g} everywhere; expected an image, leave it out"
    return [Problem(part, text, certain=False)]


def _row(volume: LabeledVolume, names: Mapping[str, int]) -> LabeledRow:
    millilitres = None
    if volume.labels is not None:
        counts = np.bincount(volume.labels.ravel(), minlength=1 + max(names.values()))
        voxel = np.prod(volume.spacing) / 1000
        millilitres = {name: float(counts[k] * voxel) for name, k in names.items()}
    return LabeledRow(
        volume.name,
        volume.patient,
        volume.phase,
        volume.group,
        volume.image.shape,
        volume.spacing,
        millilitres,
    )
