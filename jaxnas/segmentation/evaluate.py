"""The files of an evaluated segmentation run: metrics.json, volumes.csv, overlays."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxnas.data.annotation import CLASSES, LabeledSource, annotated
from jaxnas.engine.rundir import RunDir
from jaxnas.segmentation.rows import segmentation_rows, volumes_csv
from jaxnas.segmentation.scoring import SegmentationEvaluation

CONVENTION = (
    "dice: 2 TP/(2 TP + FP + FN) of whole volumes on the source grid, mean and standard deviation "
    "over volumes; a class that truth and prediction both lack is left out and counted in "
    "`empty.both`, one that a single side lacks scores 0. hd95: the larger of the two directed "
    "95th percentiles of surface distances in mm (MONAI), left out where either side is empty. "
    "latency_ms: one frame at a time, waited for; throughput_fps: frames submitted without waiting"
)


def compare_segmentation(
    run_dir: RunDir,
    evaluation: SegmentationEvaluation,
    *,
    data: str,
    facts: Mapping[str, Mapping[str, Any]],
    budget_ms: float,
    min_fps: float,
) -> list[dict[str, Any]]:
    """Writes the files into the run directory; returns the rows of metrics.json.

    `facts` are what is known of a model beside its scores (see `segmentation_rows`), the rest as in
    `write_comparison`.
    """
    rows = segmentation_rows(evaluation.scores, facts=facts)
    write_comparison(run_dir, evaluation, rows, data=data, budget_ms=budget_ms, min_fps=min_fps)
    return rows


def write_comparison(
    run_dir: RunDir,
    evaluation: SegmentationEvaluation,
    rows: Sequence[Mapping[str, Any]],
    *,
    data: str,
    budget_ms: float,
    min_fps: float,
) -> None:
    """Writes metrics.json with `rows`, and the files of an evaluation.

    `data` says in a line what was evaluated (see `describe_volumes`); `budget_ms` and `min_fps` are
    the limits that a real-time network keeps. Every file but metrics.json comes first, so that a
    run that was stopped in between shows no half evaluation.
    """
    run_dir.volumes.write(volumes_csv(evaluation.scores))
    run_dir.overlays.write(evaluation.examples, evaluation.pictured)
    run_dir.metrics.write(
        {
            "schema": 1,
            "task": "segmentation",
            "data": data,
            "convention": CONVENTION,
            "limits": {"latency_ms": budget_ms, "throughput_fps": min_fps},
            "rows": rows,
        },
    )


def describe_volumes(name: str, source: LabeledSource, indices: Sequence[int]) -> str:
    """One line: the data set, its test volumes and patients, phases, and labels that it lacks."""
    refs = [source.volumes[i] for i in indices]
    phases = dict.fromkeys("frames" if r.phase.startswith("frame") else r.phase for r in refs)
    patients = {ref.patient for ref in refs}
    lacking = [known for known in CLASSES[1:] if known not in annotated(source)]
    without = f", without labels of {', '.join(lacking)}" if lacking else ""
    return (
        f"{name}: {len(refs)} test volumes ({', '.join(phases)}) of {len(patients)} "
        f"patient{'s' if len(patients) > 1 else ''}{without}"
    )
