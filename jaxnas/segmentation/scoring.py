"""Segments a set of volumes with every network and scores each volume on its own grid."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import (
    LabeledSource,
    LabeledVolume,
    annotated,
    labels_in,
    warn_of_absent,
)
from jaxnas.metrics.overlap import dice, hd95, volume_ml
from jaxnas.segmentation.apply import Predictor
from jaxnas.segmentation.body_part import BodyPart, body_part_of
from jaxnas.segmentation.scores import ClassScore, OverlapScore


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
