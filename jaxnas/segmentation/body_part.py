"""Scores and pictures beside Dice: of beating hearts, and of whatever else has labels.

A `BodyPart` knows the classes of a source, which of its volumes to picture at which slices, and
what more than overlaps can be said of a network there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from jaxnas.data.annotation import ED, ES, LabeledRef, LabeledSource, cavities
from jaxnas.metrics.overlap import ejection_fraction, pearson
from jaxnas.segmentation.scores import OverlapScore, significant

HEART_LEVELS = {"base": 1 / 6, "mid": 1 / 2, "apex": 5 / 6}  # of the way down the heart
EXTENT_LEVELS = {"lower": 1 / 6, "middle": 1 / 2, "upper": 5 / 6}  # of the slices with labels


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
