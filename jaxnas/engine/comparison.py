"""The evaluation stage: every network of a run and the classical methods on the test volumes."""

from typing import Any

from jaxnas.core.files import write_atomic, write_json
from jaxnas.engine.evaluate import (
    classical_reconstructors,
    evaluate_reconstruction,
    network_reconstructor,
)
from jaxnas.engine.rundir import Run
from jaxnas.engine.scores import examples_npz, slices_csv, summary_rows
from jaxnas.engine.sources import Dataset
from jaxnas.engine.training import trainable, trained_params
from jaxnas.models.costing import network_cost
from jaxnas.models.networks import DERIVED

CONVENTION = (
    "psnr, ssim, nmse, mse: per slice on the modulus, data range = maximum of the target slice, "
    "mean and standard deviation over slices; volume: fastMRI, data range = maximum of the volume"
)


def compare(run: Run, dataset: Dataset) -> list[dict[str, Any]]:
    """Writes metrics.json, slices.csv and the example images; returns the rows of the metrics."""
    config, test = run.config, dataset.slices("test")
    reconstructors = classical_reconstructors(config.evaluate)
    costs = {}
    # In tables the searched network comes last, whenever it was trained.
    for name, net in sorted(trainable(run).items(), key=lambda item: item[0] == DERIVED):
        params = trained_params(run, net, name)
        reconstructors[name] = network_reconstructor(net, params)
        ref = dataset.source.slices[test[0]]
        costs[name] = network_cost(net, ref.shape, coils=ref.coils).to_json()
    evaluation = evaluate_reconstruction(
        reconstructors, dataset.source, test, config.acquisition, batch=config.evaluate.batch
    )
    rows = summary_rows(evaluation, costs=costs)
    write_atomic(run.path / "slices.csv", slices_csv(evaluation))
    write_atomic(run.path / "examples.npz", examples_npz(evaluation))
    write_json(run.path / "examples.json", evaluation.pictured)
    write_json(
        run.path / "metrics.json",
        {
            "schema": 1,
            "task": "reconstruction",
            "data": describe_data(run, dataset),
            "convention": CONVENTION,
            "rows": rows,
        },
    )
    return rows


def describe_data(run: Run, dataset: Dataset) -> str:
    """One line: source, test volumes and slices, image size."""
    volumes, slices = dataset.volumes["test"], dataset.slices("test")
    ref = dataset.source.slices[slices[0]]
    return (
        f"{run.config.data.source}: {len(volumes)} test volumes, {len(slices)} slices, "
        f"{ref.shape[0]}×{ref.shape[1]}, {ref.coils} coil{'s' if ref.coils > 1 else ''}"
    )
