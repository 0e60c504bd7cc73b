"""Scores of segmentations as the files of a run directory; equal scores give equal bytes."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxnas.segmentation.scoring import BodyPart, ClassScore, OverlapScore, significant

EMPTY = {
    "decoder": None,
    "paths": None,
    "params": 0,
    "macs": 0,
    "latency_ms": None,
    "throughput_fps": None,
    "timings": [],
}
PLACE = ("model", "volume", "patient", "phase", "group", "fold")


def segmentation_rows(scores: Sequence[OverlapScore], part: BodyPart) -> list[dict[str, Any]]:
    """The rows of metrics.json: one per model, in the order of the scores.

    `dice` and `hd95` (mm) per class and as `mean` over classes: mean, standard deviation (division
    by n) and n over the volumes in which they are defined; `empty` counts per class the volumes in
    which both sides lack it and those in which one does; then what the part of the body measures;
    `folds` compares the folds of a cross-validation. None where nothing is defined. The entries
    of EMPTY stand for facts beside the scores, where nobody adds them.
    """
    rows = []
    for model in dict.fromkeys(score.model for score in scores):
        mine = [score for score in scores if score.model == model]
        rows.append(
            {
                "model": model,
                "n": len(mine),
                "patients": len({score.patient for score in mine}),
                "dice": _spreads(mine, "dice", part.classes),
                "hd95": _spreads(mine, "hd95", part.classes),
                "empty": {name: _empty(mine, name) for name in part.classes},
                **part.measures(mine),
                "folds": _folds(mine, part.classes),
                **EMPTY,
            }
        )
    return rows


def volumes_csv(scores: Iterable[OverlapScore], classes: Sequence[str]) -> str:
    """The text of volumes.csv: a line per model and volume, undefined scores empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = [f"{field}_{name}" for field in ClassScore._fields for name in classes]
    writer.writerow([*PLACE, "dice_mean", *measures])
    for score in scores:
        values = [
            getattr(score.classes[name], field) if name in score.classes else np.nan
            for field in ClassScore._fields
            for name in classes
        ]
        place = [getattr(score, name) for name in PLACE]
        writer.writerow([*place, *map(_text, [_mean(score, "dice"), *values])])
    return text.getvalue()


def _spreads(scores: Sequence[OverlapScore], field: str, classes: Sequence[str]) -> dict[str, Any]:
    """The spread per class, and `mean`: of every volume the mean over those it is defined for."""
    found = {
        name: [getattr(s.classes[name], field) for s in scores if name in s.classes]
        for name in classes
    }
    found["mean"] = [_mean(score, field) for score in scores]
    return {name: _spread(values) for name, values in found.items()}


def _folds(scores: Sequence[OverlapScore], classes: Sequence[str]) -> dict[str, Any] | None:
    """The `numbers` of the folds; `dice` and `hd95` per class and as `mean`: `values`, the mean of
    every fold, and their mean, standard deviation and n. None without folds."""
    numbers = sorted({score.fold for score in scores if score.fold is not None})
    if not numbers:
        return None
    return {"numbers": numbers} | {
        field: _over_folds([[s for s in scores if s.fold == k] for k in numbers], field, classes)
        for field in ("dice", "hd95")
    }


def _over_folds(
    parts: Sequence[Sequence[OverlapScore]], field: str, classes: Sequence[str]
) -> dict[str, Any]:
    spreads = [_spreads(part, field, classes) for part in parts]
    values = {name: [spread[name]["mean"] for spread in spreads] for name in spreads[0]}
    return {
        name: _spread([x for x in found if x is not None]) | {"values": found}
        for name, found in values.items()
    }


def _mean(score: OverlapScore, field: str) -> float:
    values = [getattr(x, field) for x in score.classes.values()]
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _spread(values: Sequence[float]) -> dict[str, Any]:
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return {"mean": None, "std": None, "n": 0}
    return {
        "mean": significant(float(np.mean(known))),
        "std": significant(float(np.std(known))),
        "n": len(known),
    }


def _empty(scores: Sequence[OverlapScore], name: str) -> dict[str, int]:
    found = [score.classes[name] for score in scores if name in score.classes]
    sides = [(x.ml > 0, x.truth_ml > 0) for x in found]
    return {
        "both": sides.count((False, False)),
        "one": sides.count((True, False)) + sides.count((False, True)),
    }


def _text(value: float) -> str:
    return f"{value:.7g}" if np.isfinite(value) else ""
