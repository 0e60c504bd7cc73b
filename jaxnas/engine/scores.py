"""Scores as the files of a run directory; equal scores give equal bytes."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxnas.engine.evaluate import Evaluation, SliceScore, VolumeScore

PER_SLICE = ("psnr", "ssim", "nmse", "mse")
PER_VOLUME = ("psnr", "ssim", "nmse")


def summary_rows(
    evaluation: Evaluation, *, costs: Mapping[str, Mapping[str, int | None]]
) -> list[dict[str, Any]]:
    """The rows of metrics.json: per model one per acceleration, then one over all of them.

    Mean and standard deviation (division by n) over slices, and under `volume` those of the fastMRI
    scores over volumes; None where not finite. `costs` maps a model to its `params` and `macs`,
    both 0 where a model is not listed.
    """
    models = dict.fromkeys(score.model for score in evaluation.slices)
    accelerations = dict.fromkeys(score.acceleration for score in evaluation.slices)
    rows = []
    for model in models:
        slices = [score for score in evaluation.slices if score.model == model]
        volumes = [score for score in evaluation.volumes if score.model == model]
        for chosen in (*accelerations, "all"):
            row = {"model": model, "acceleration": chosen}
            row |= _summary(_at(slices, chosen), _at(volumes, chosen))
            row |= {"params": 0, "macs": 0, **costs.get(model, {})}
            rows.append(row)
    return rows


def slices_csv(evaluation: Evaluation) -> str:
    """The text of slices.csv: a header, then one line per model, volume, slice, acceleration."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SliceScore._fields)
    for score in evaluation.slices:
        writer.writerow([f"{x:.7g}" if isinstance(x, float) else x for x in score])
    return text.getvalue()


def examples_npz(evaluation: Evaluation) -> bytes:
    """The bytes of examples.npz."""
    file = io.BytesIO()
    np.savez_compressed(file, **evaluation.examples)
    return file.getvalue()


def _at(scores: Iterable[Any], acceleration: int | float | str) -> list[Any]:
    return [s for s in scores if acceleration in ("all", s.acceleration)]


def _summary(slices: Sequence[SliceScore], volumes: Sequence[VolumeScore]) -> dict[str, Any]:
    per_slice = {name: _spread(slices, name) for name in PER_SLICE}
    per_volume = {name: _spread(volumes, name) for name in PER_VOLUME}
    return {"n": len(slices), **per_slice, "volume": per_volume}


def _spread(scores: Sequence[Any], name: str) -> dict[str, float | None]:
    values = np.array([getattr(score, name) for score in scores])
    return {"mean": _number(values.mean()), "std": _number(values.std())}


def _number(value: float) -> float | None:
    """Seven digits, what a float32 score can carry; None if not finite."""
    return float(f"{value:.7g}") if np.isfinite(value) else None
