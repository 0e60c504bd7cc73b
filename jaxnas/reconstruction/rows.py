"""Scores as the files of a run directory; equal scores give equal bytes."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from jaxnas.reconstruction.scoring import SliceScore

PER_SLICE = ("psnr", "ssim", "nmse", "mse")
PER_VOLUME = ("psnr", "ssim", "nmse")


def summaries(slices: Sequence[Any], volumes: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """The rows of a model in metrics.json: one per acceleration, then one over all of them.

    Mean and standard deviation (division by n) over slices, and under `volume` those of the fastMRI
    scores over volumes; None where not finite. `slices` and `volumes` are scores of any class with
    the fields of SliceScore and VolumeScore.
    """
    for chosen in (*dict.fromkeys(score.acceleration for score in slices), "all"):
        yield {"acceleration": chosen, **_summary(_at(slices, chosen), _at(volumes, chosen))}


def slices_csv(
    scores: Iterable[Sequence[Any]], *, fields: Sequence[str] = SliceScore._fields
) -> str:
    """The text of slices.csv: the names of the fields, then one line per score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    for score in scores:
        writer.writerow([f"{x:.7g}" if isinstance(x, float) else x for x in score])
    return text.getvalue()


def _at(scores: Iterable[Any], acceleration: int | float | str) -> list[Any]:
    return [s for s in scores if acceleration in ("all", s.acceleration)]


def _summary(slices: Sequence[Any], volumes: Sequence[Any]) -> dict[str, Any]:
    per_slice = {name: _spread(slices, name) for name in PER_SLICE}
    per_volume = {name: _spread(volumes, name) for name in PER_VOLUME}
    return {"n": len(slices), **per_slice, "volume": per_volume}


def _spread(scores: Sequence[Any], name: str) -> dict[str, float | None]:
    values = np.array([getattr(score, name) for score in scores])
    return {"mean": _number(values.mean()), "std": _number(values.std())}


def _number(value: float) -> float | None:
    """Seven digits, what a float32 score can carry; None if not finite."""
    return float(f"{value:.7g}") if np.isfinite(value) else None
