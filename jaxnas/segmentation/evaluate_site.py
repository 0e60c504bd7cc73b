"""The evaluation stage of a segmentation run: every network on the test volumes of every fold."""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn

from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.data.annotation import LabeledVolume
from jaxnas.engine.cohort import Cohort, fold_number
from jaxnas.engine.run import Run
from jaxnas.engine.training import trained_variables, training_name
from jaxnas.segmentation.apply import Predictor
from jaxnas.segmentation.derive import derived_facts
from jaxnas.segmentation.evaluate import compare_segmentation, describe_volumes
from jaxnas.segmentation.networks import segmentation_cost, trained_as
from jaxnas.segmentation.scoring import SegmentationEvaluation, evaluate_segmentation
from jaxnas.segmentation.task import segmentation_task
from jaxnas.segmentation.timing import budgeted, time_predictor
from jaxnas.spaces.rtdnas_network import RtdnasNet


def evaluate_networks(
    run: Run,
    nets: Mapping[str, nn.Module],
    cohort: Cohort,
) -> list[dict[str, Any]]:
    """Writes metrics.json, volumes.csv and overlays; returns the rows of the metrics.

    With folds every test volume is scored by the network that did not see its patient.
    """
    config, parts, trained = run.config, [], trained_as(nets)
    task = segmentation_task(config)
    # A stack of so many slices is compiled in any case, because its latency is measured.
    slices = config.latency.stack
    for member, dataset in cohort.members.items():
        fold = fold_number(member)
        loaded = {
            name: Predictor(
                nets[name],
                trained_variables(run, task, nets[name], training_name(name, member)),
                dataset.preparation,
            )
            for name in dict.fromkeys(trained.values())
        }
        predictors = {name: loaded[first] for name, first in trained.items()}
        tested = dataset.volumes("test")
        where = "" if fold is None else f" of fold {fold}"
        run.log(f"segmenting {len(tested)} volumes{where} with {len(nets)} networks")
        found = evaluate_segmentation(predictors, dataset.source, tested, slices=slices, fold=fold)
        parts.append(found)
    derived = derived_facts(run) if run.dir.networks.exists() else {}
    first = dataset.source.read(dataset.volumes("test")[0])
    facts = {}
    for name, net in nets.items():
        known = network_facts(config, net, predictors[name], first)
        facts[name] = _paths(net) | derived.get(name, {}) | known
        latency = known["latency_ms"]
        run.log(f"{name}: {latency['p50']:.1f} ms for a frame of {slices} slices")
    whole = SegmentationEvaluation(
        tuple(score for part in parts for score in part.scores),
        parts[0].examples,
        parts[0].pictured,
    )
    tested = [i for dataset in cohort.members.values() for i in dataset.volumes("test")]
    return compare_segmentation(
        run.dir,
        whole,
        data=describe_volumes(config.data.source, dataset.source, tested),
        facts=facts,
        budget_ms=config.latency.budget_ms,
        min_fps=config.latency.min_fps,
    )


def _paths(net: nn.Module) -> dict[str, int]:
    """The number of paths of a network of the two-level space; nothing for any other network."""
    return {"paths": len(net.genotype.paths)} if isinstance(net, RtdnasNet) else {}


def network_facts(
    config: SegmentationConfig, net: nn.Module, predictor: Predictor, volume: LabeledVolume
) -> dict[str, Any]:
    """The facts in a network's row of metrics.json beside its scores: its size, and how long it
    takes for frames like `volume`."""
    timings = time_predictor(
        predictor,
        volume,
        slices=config.latency.stack,
        calls=config.evaluate.calls,
        seconds=config.evaluate.seconds,
    )
    cost = segmentation_cost(net, config.data.size)
    sizes = {"params": cost.params, "macs": cost.cost.macs}
    return {**sizes, "timings": timings, **budgeted(timings)}
