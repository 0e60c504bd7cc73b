"""Segments a set of volumes with every network and scores each volume on its own grid."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import CLASSES, ED, ES, LabeledSource, LabeledVolume, annotated
from jaxnas.data.presence import labels_in, warn_of_absent
from jaxnas.metrics.overlap import dice, hd95, volume_ml
from jaxnas.segmentation.apply import Predictor

FOREGROUND = CLASSES[1:]
LEVELS = {"base": 1 / 6, "mid": 1 / 2, "apex": 5 / 6}  # of the way down the heart


class ClassScore(NamedTuple):
    """One class in one volume: Dice, 95 % Hausdorff distance in mm, volumes in ml.

    Dice is NaN where neither side has the class, the distance where one of them lacks it.
    """

    dice: float
    hd95: float
    ml: float
    truth_ml: float


class OverlapScore(NamedTuple):
    """One volume by one network; `classes` holds a ClassScore per class that the truth knows.

    `fold` is the fold that the network was trained on, None without cross-validation.
    """

    model: str
    volume: str
    patient: str
    phase: str
    group: str | None
    classes: Mapping[str, ClassScore]
    fold: int | None = None


@dataclass(frozen=True)
class SegmentationEvaluation:
    """All scores, and one patient to look at.

    `examples` holds `<phase>/<level>/image` float32, `/truth` and `/<model>` uint8, each (H, W);
    `pictured` says per phase of which volume they are, its pixel size (dy, dx) in mm, and per level
    the number of the slice.
    """

    scores: tuple[OverlapScore, ...]
    examples: Mapping[str, np.ndarray] = field(default_factory=dict)
    pictured: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def evaluate_segmentation(
    predictors: Mapping[str, Predictor],
    source: LabeledSource,
    indices: Sequence[int],
    *,
    slices: int,
    fold: int | None = None,
) -> SegmentationEvaluation:
    """Scores every predictor, of `fold` if there are folds, on the volumes `indices` of `source`.

    A network takes `slices` slices of a volume at a time; one volume is in memory at a time.
    Classes that the source does not annotate are part of the background on both sides and have no
    score. Pictured is the first patient of whom both ED and ES are there, else the first volume.
    Raises UserError if there is nothing to evaluate, or a volume has no labels; warns of classes
    that volumes lack.
    """
    if not indices:
        raise UserError("nothing to evaluate: the test split is empty; change data.split")
    known = annotated(source)
    shown = _shown(source, indices)
    scores: list[OverlapScore] = []
    examples: dict[str, np.ndarray] = {}
    pictured: dict[str, dict[str, Any]] = {}
    present: list[frozenset[int]] = []
    for i in indices:
        volume = source.read(i)
        if volume.labels is None:
            raise UserError(
                f"{volume.name}: has no labels to compare with; evaluate labelled volumes, and "
                f"apply the network to this one with `jaxnas segment`"
            )
        present.append(labels_in(volume.labels))
        labels = {
            name: predictor.segment_by(volume, slices=slices)
            for name, predictor in predictors.items()
        }
        found = (_score(name, volume, each, known) for name, each in labels.items())
        scores += [score._replace(fold=fold) for score in found]
        if i in shown:
            levels = heart_levels(volume.labels)
            pictured[volume.phase] = {
                "volume": volume.name,
                "spacing": [float(step) for step in volume.spacing[1:]],
                "slices": levels,
            }
            examples |= dict(_pictures(volume, labels, levels))
    warn_of_absent(present, known, what="the test volumes")
    return SegmentationEvaluation(tuple(scores), examples, pictured)


def heart_levels(labels: np.ndarray) -> dict[str, int]:
    """The slices at base, mid and apex of labels (Z, H, W), as far as the heart reaches.

    The base is the end with the larger cross-section. A heart of fewer than three slices has
    fewer levels; labels without a heart have their middle slice.
    """
    areas = np.count_nonzero(labels, axis=(1, 2))
    heart = np.flatnonzero(areas)
    if not len(heart):
        return {"mid": len(labels) // 2}
    half = len(heart) // 2
    if areas[heart[:half]].sum() < areas[heart[len(heart) - half :]].sum():
        heart = heart[::-1]
    names = {1: ("mid",), 2: ("base", "apex")}.get(len(heart), tuple(LEVELS))
    return {name: int(heart[int(LEVELS[name] * len(heart))]) for name in names}


def _shown(source: LabeledSource, indices: Sequence[int]) -> set[int]:
    """The volumes to picture."""
    phases: dict[str, dict[str, int]] = {}
    for i in indices:
        ref = source.volumes[i]
        phases.setdefault(ref.patient, {}).setdefault(ref.phase, i)
    for found in phases.values():
        if {ED, ES} <= set(found):
            return {found[ED], found[ES]}
    return {indices[0]}


def _pictures(
    volume: LabeledVolume, labels: Mapping[str, np.ndarray], levels: Mapping[str, int]
) -> Iterator[tuple[str, np.ndarray]]:
    for level, z in levels.items():
        place = f"{volume.phase}/{level}"
        yield f"{place}/image", volume.image[z]
        yield f"{place}/truth", volume.labels[z]
        yield from ((f"{place}/{name}", found[z]) for name, found in labels.items())


def _score(
    model: str, volume: LabeledVolume, labels: np.ndarray, known: Sequence[str]
) -> OverlapScore:
    numbers = [CLASSES.index(name) for name in known]
    overlaps = dice(volume.labels, labels, numbers)
    distances = hd95(volume.labels, labels, numbers, volume.spacing)
    classes = {
        name: ClassScore(
            float(overlap),
            float(distance),
            volume_ml(labels, volume.spacing, label=number),
            volume_ml(volume.labels, volume.spacing, label=number),
        )
        for name, number, overlap, distance in zip(known, numbers, overlaps, distances)
    }
    return OverlapScore(model, volume.name, volume.patient, volume.phase, volume.group, classes)
