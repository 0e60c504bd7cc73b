"""The evaluation stage: every network of a run and the classical methods on the test volumes."""

from collections.abc import Mapping, Sequence
from typing import Any

from flax import linen as nn

from jaxnas.core.schema import Config
from jaxnas.engine.networks import DERIVED
from jaxnas.engine.run import Run
from jaxnas.engine.training import trained_variables
from jaxnas.models.costing import network_cost
from jaxnas.reconstruction.dataset import KspaceDataset
from jaxnas.reconstruction.networks import trainable
from jaxnas.reconstruction.rows import slices_csv, summary_rows
from jaxnas.reconstruction.scoring import (
    Evaluation,
    Reconstructor,
    classical_reconstructors,
    evaluate_reconstruction,
    network_reconstructor,
)
from jaxnas.reconstruction.task import reconstruction_task

CONVENTION = (
    "psnr, ssim, nmse, mse: per slice on the modulus, data range = maximum of the target slice, "
    "mean and standard deviation over slices; volume: fastMRI, data range = maximum of the volume"
)


def compare_site(run: Run, dataset: KspaceDataset) -> list[dict[str, Any]]:
    """Writes metrics.json, slices.csv and the example images; returns the rows of the metrics."""
    config, task = run.config, reconstruction_task(run.config)
    reconstructors = classical_reconstructors(config.evaluate)
    costs = {}
    # In tables the searched network comes last, whenever it was trained.
    for name, net in sorted(trainable(run).items(), key=lambda item: item[0] == DERIVED):
        params = trained_variables(run, task, net, name)["params"]
        reconstructors[name] = network_reconstructor(net, params)
        costs[name] = cost_on(dataset, net)
    evaluation = evaluate_dataset(config, reconstructors, dataset)
    rows = summary_rows(evaluation, costs=costs)
    run.dir.slices.write(slices_csv(evaluation.slices))
    run.dir.examples.write(evaluation.examples, evaluation.pictured)
    write_metrics(run, f"{config.data.source}: {describe_test(dataset)}", rows)
    return rows


def evaluate_dataset(
    config: Config, reconstructors: Mapping[str, Reconstructor], dataset: KspaceDataset
) -> Evaluation:
    """The evaluation of reconstructors on the test slices of a dataset, as it is acquired."""
    return evaluate_reconstruction(
        reconstructors,
        dataset.source,
        dataset.slices("test"),
        dataset.acquisition,
        batch=config.evaluate.batch,
    )


def cost_on(dataset: KspaceDataset, net: nn.Module) -> dict[str, int]:
    """Parameters and operations of `net` for the first test slice of a dataset."""
    ref = dataset.source.slices[dataset.slices("test")[0]]
    return network_cost(net, ref.shape, coils=ref.coils).to_json()


def describe_test(dataset: KspaceDataset) -> str:
    """One line: test volumes and slices, image size, coils."""
    volumes, slices = dataset.groups["test"], dataset.slices("test")
    ref = dataset.source.slices[slices[0]]
    return (
        f"{len(volumes)} test volumes, {len(slices)} slices, "
        f"{ref.shape[0]}×{ref.shape[1]}, {ref.coils} coil{'s' if ref.coils > 1 else ''}"
    )


def write_metrics(run: Run, data: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes metrics.json; `data` says in a line what was evaluated."""
    document = {"schema": 1, "task": "reconstruction", "data": data, "convention": CONVENTION}
    run.dir.metrics.write(document | {"rows": rows})
