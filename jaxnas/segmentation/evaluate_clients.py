"""The evaluation stage of a segmentation across clients: every method at every client, with the
client's own weights and statistics, on its test volumes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flax import linen as nn

from jaxnas.engine.cohort import Cohort
from jaxnas.engine.run import Run
from jaxnas.fed.shares import POOLED
from jaxnas.fed.training import load_method, method_folder
from jaxnas.segmentation.apply import Predictor
from jaxnas.segmentation.evaluate import describe_volumes, write_comparison
from jaxnas.segmentation.evaluate_site import network_facts
from jaxnas.segmentation.rows import segmentation_rows
from jaxnas.segmentation.scoring import (
    OverlapScore,
    SegmentationEvaluation,
    evaluate_segmentation,
)
from jaxnas.segmentation.task import segmentation_task


def compare_segmentation_clients(
    run: Run, nets: Mapping[str, nn.Module], cohort: Cohort
) -> list[dict[str, Any]]:
    """Writes metrics.json, volumes.csv and the overlays of the first client; returns the rows."""
    config, methods = run.config, run.config.federated.methods
    task = segmentation_task(config)
    trained = {
        method: load_method(run, task, method, nets[method.model], cohort.names)
        for method in methods
    }
    found: dict[str, SegmentationEvaluation] = {}
    facts: dict[str, dict[str, Any]] = {}
    for client, dataset in cohort.members.items():
        source, tested = dataset.source, dataset.volumes("test")
        predictors = {}
        for method in methods:
            net = nets[method.model]
            predictor = Predictor(net, trained[method].variables(client), dataset.preparation)
            predictors[method_folder(method)] = predictor
            if method.model not in facts:  # a network takes the same time whatever its weights
                volume = source.read(tested[0])
                facts[method.model] = network_facts(config, net, predictor, volume)
        found[client] = evaluate_segmentation(
            predictors, source, tested, slices=config.latency.stack
        )
    scores = {name: evaluation.scores for name, evaluation in found.items()}
    rows = [
        {**row, "model": method.model, "strategy": method.label, **facts[method.model]}
        for method in methods
        for row in client_rows(method_folder(method), scores)
    ]
    first = found[cohort.names[0]]
    everything = tuple(score for own in scores.values() for score in own)
    write_comparison(
        run.dir,
        SegmentationEvaluation(everything, first.examples, first.pictured),
        rows,
        data=_describe(config.data.source, cohort),
        budget_ms=config.latency.budget_ms,
        min_fps=config.latency.min_fps,
    )
    return rows


def client_rows(
    method: str, scores: Mapping[str, Sequence[OverlapScore]]
) -> Iterator[dict[str, Any]]:
    """The rows of one method: of every client, then of all their volumes pooled.

    `scores` are by client; `method` is what their `model` says.
    """
    own = {name: [s for s in found if s.model == method] for name, found in scores.items()}
    pooled = [score for found in own.values() for score in found]
    for client, found in {**own, POOLED: pooled}.items():
        (row,) = segmentation_rows(found, facts={})
        yield {"client": client, **row}


def _describe(kind: str, cohort: Cohort) -> str:
    """One line: the test volumes of every client."""
    return "; ".join(
        f"{name}: {describe_volumes(kind, dataset.source, dataset.volumes('test'))}"
        for name, dataset in cohort.members.items()
    )
