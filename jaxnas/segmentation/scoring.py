"""Segments a set of volumes with every network and scores each volume on its own grid.

A `BodyPart` knows the classes of a source, which of its volumes to picture at which slices, and
what more than overlaps can be said of a network there: of beating hearts, and of whatever else has
labels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import (
    ED,
    ES,
    LabeledRef,
    LabeledSource,
    LabeledVolume,
    annotated,
    cavities,
    labels_in,
    warn_of_absent,
)
from jaxnas.metrics.overlap import dice, ejection_fraction, hd95, pearson, volume_ml
from jaxnas.segmentation.apply import Predictor

HEART_LEVELS = {"base": 1 / 6, "mid": 1 / 2, "apex": 5 / 6}  # of the way down the heart
EXTENT_LEVELS = {"lower": 1 / 6, "middle": 1 / 2, "upper": 5 / 6}  # of the slices with labels


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


def significant(value: float) -> float:
    """A number as files state it: seven significant digits."""
    return float(f"{value:.7g}")


class BodyPart(Protocol):
    """The subject of an evaluation; `classes` are the names of the labels 1, 2, …"""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the foreground classes, in the order of their labels."""
        ...

    def measures(self, scores: Sequence[OverlapScore]) -> dict[str, Any]:
        """The entries of a row of metrics.json that only this part has, from its scores."""
        ...

    def shown(self, refs: Sequence[LabeledRef]) -> list[LabeledRef]:
        """The volumes to picture."""
        ...

    def levels(self, labels: np.ndarray) -> dict[str, int]:
        """The slices to picture of a volume with labels (Z, H, W), by the names of their levels."""
        ...


@dataclass(frozen=True)
class Organs:
    """Anything that holds still: pictured is the first volume, and Dice says it all."""

    classes: tuple[str, ...]

    def measures(self, scores: Sequence[OverlapScore]) -> dict[str, Any]:
        """Nothing."""
        return {}

    def shown(self, refs: Sequence[LabeledRef]) -> list[LabeledRef]:
        """The first volume."""
        return [*refs[:1]]

    def levels(self, labels: np.ndarray) -> dict[str, int]:
        """The lower, middle and upper slice, by number, of those with labels.

        Fewer than three have fewer levels; without labels it is the middle slice.
        """
        found = _labelled(labels)
        if not len(found):
            return {"middle": len(labels) // 2}
        names = {1: ("middle",), 2: ("lower", "upper")}.get(len(found), tuple(EXTENT_LEVELS))
        return {name: int(found[int(EXTENT_LEVELS[name] * len(found))]) for name in names}


@dataclass(frozen=True)
class Heart:
    """A beating heart: ejection fractions of its `cavities`, and pictures at ED and ES."""

    classes: tuple[str, ...]
    cavities: tuple[str, ...]

    def measures(self, scores: Sequence[OverlapScore]) -> dict[str, Any]:
        """`ejection_fraction` compares ED and ES of every patient, cavity by cavity."""
        return {"ejection_fraction": {name: _ejection(scores, name) for name in self.cavities}}

    def shown(self, refs: Sequence[LabeledRef]) -> list[LabeledRef]:
        """ED and ES of the first patient of whom both are there, else the first volume."""
        phases: dict[str, dict[str, LabeledRef]] = {}
        for ref in refs:
            phases.setdefault(ref.patient, {}).setdefault(ref.phase, ref)
        for found in phases.values():
            if {ED, ES} <= set(found):
                return [found[ED], found[ES]]
        return [*refs[:1]]

    def levels(self, labels: np.ndarray) -> dict[str, int]:
        """The slices at base, mid and apex, as far as the heart reaches.

        The base is the end with the larger cross-section. A heart of fewer than three slices has
        fewer levels; labels without a heart have their middle slice.
        """
        heart = _labelled(labels)
        if not len(heart):
            return {"mid": len(labels) // 2}
        areas, half = np.count_nonzero(labels, axis=(1, 2)), len(heart) // 2
        if areas[heart[:half]].sum() < areas[heart[len(heart) - half :]].sum():
            heart = heart[::-1]
        names = {1: ("mid",), 2: ("base", "apex")}.get(len(heart), tuple(HEART_LEVELS))
        return {name: int(heart[int(HEART_LEVELS[name] * len(heart))]) for name in names}


def body_part_of(source: LabeledSource) -> BodyPart:
    """The part of the body that a source shows: a heart where it has cavities."""
    classes, beating = source.labels[1:], cavities(source)
    return Heart(classes, beating) if beating else Organs(classes)


@dataclass(frozen=True)
class SegmentationEvaluation:
    """All scores, and one patient to look at.

    `examples` holds `<place>/<level>/image` float32, `/truth` and `/<model>` uint8, each (H, W). A
    place is the phase of a heart, else the volume; `pictured` says of which volume it is, its pixel
    size (dy, dx) in mm, and per level the number of the slice.
    """

    part: BodyPart
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
    score. The part of the body says what is pictured.
    Raises UserError if there is nothing to evaluate, or a volume has no labels; warns of classes
    that volumes lack.
    """
    if not indices:
        raise UserError("nothing to evaluate: the test split is empty; change data.split")
    known, part = annotated(source), body_part_of(source)
    shown = {ref.name for ref in part.shown([source.volumes[i] for i in indices])}
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
        if volume.name in shown:
            levels = part.levels(volume.labels)
            pictured[_place(volume)] = {
                "volume": volume.name,
                "spacing": [float(step) for step in volume.spacing[1:]],
                "slices": levels,
            }
            examples |= dict(_pictures(volume, labels, levels))
    warn_of_absent(present, known, what="the test volumes")
    return SegmentationEvaluation(part, tuple(scores), examples, pictured)


def _labelled(labels: np.ndarray) -> np.ndarray:
    """The slices that have a label."""
    return np.flatnonzero(labels.any(axis=(1, 2)))


def _ejection(scores: Sequence[OverlapScore], name: str) -> dict[str, Any] | None:
    """Pearson's r and the bias (predicted − true, percentage points) over patients; None without
    a patient of whom ED and ES are there."""
    cavity = {(s.patient, s.phase): s.classes[name] for s in scores if name in s.classes}
    pairs = []
    for patient in dict.fromkeys(patient for patient, _ in cavity):
        if (patient, ED) in cavity and (patient, ES) in cavity:
            ed, es = cavity[patient, ED], cavity[patient, ES]
            pairs.append(
                (ejection_fraction(ed.ml, es.ml), ejection_fraction(ed.truth_ml, es.truth_ml))
            )
    known = [pair for pair in pairs if np.isfinite(pair).all()]
    if not known:
        return None
    predicted, true = np.array(known).T
    correlation = pearson(predicted, true)
    return {
        "pearson": significant(correlation) if np.isfinite(correlation) else None,
        "bias": significant(np.mean(predicted - true)),
        "n": len(known),
    }


def _place(volume: LabeledVolume) -> str:
    return volume.phase or volume.name


def _pictures(
    volume: LabeledVolume, labels: Mapping[str, np.ndarray], levels: Mapping[str, int]
) -> Iterator[tuple[str, np.ndarray]]:
    for level, z in levels.items():
        place = f"{_place(volume)}/{level}"
        yield f"{place}/image", volume.image[z]
        yield f"{place}/truth", volume.truth[z]
        yield from ((f"{place}/{name}", found[z]) for name, found in labels.items())


def _score(
    model: str, volume: LabeledVolume, labels: np.ndarray, known: Mapping[str, int]
) -> OverlapScore:
    numbers = [*known.values()]
    overlaps = dice(volume.truth, labels, numbers)
    distances = hd95(volume.truth, labels, numbers, volume.spacing)
    classes = {
        name: ClassScore(
            float(overlap),
            float(distance),
            volume_ml(labels, volume.spacing, label=number),
            volume_ml(volume.truth, volume.spacing, label=number),
        )
        for name, number, overlap, distance in zip(known, numbers, overlaps, distances)
    }
    return OverlapScore(model, volume.name, volume.patient, volume.phase, volume.group, classes)
