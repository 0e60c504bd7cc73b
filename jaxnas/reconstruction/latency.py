"""The latency of a reconstruction run: what its search is held to, and what its network takes."""

import functools

from jaxnas.engine.run import Run
from jaxnas.reconstruction.dataset import KspaceDataset
from jaxnas.reconstruction.deployment import UnrolledDeployment
from jaxnas.reconstruction.profile import Scan, profile_unrolled, unrolled_times
from jaxnas.reconstruction.section import LatencyConfig, ReconstructionConfig
from jaxnas.search.device import (
    given_table,
    load_calibration,
    load_objective,
    obtain_table,
    table_name,
)
from jaxnas.search.latency_table import device_kind
from jaxnas.search.objective import ACCURACY, SearchObjective
from jaxnas.spaces.genotype import describe


def with_latency(config: ReconstructionConfig) -> ReconstructionConfig:
    """The config with the defaults of its section `latency` where it has none."""
    asked = config.latency or LatencyConfig()
    return config.model_copy(update={"latency": asked})


def scan_of(config: ReconstructionConfig, dataset: KspaceDataset) -> Scan:
    """The scan that the networks of a dataset are applied to: its first training slice, sampled as
    the acquisitions of the config say."""
    ref = dataset.source.slices[dataset.slices("train")[0]]
    points = not all(acquisition.whole_columns for acquisition in config.acquisitions)
    return Scan(ref.shape, ref.coils, points)


def check_latency(config: ReconstructionConfig, dataset: KspaceDataset) -> None:
    """Raises UserError for a table of another device, or without an operation of the config."""
    path = None if config.latency is None else config.latency.table
    if path is not None:
        table = given_table(path)
        unrolled_times(table, config, scan_of(config, dataset), where=path)


def find_objective(run: Run, dataset: KspaceDataset) -> SearchObjective:
    """The aim of a run's search; measures the device where a latency is asked for and unknown."""
    if run.config.latency is None:
        return ACCURACY
    return load_objective(run, _deployment(run, dataset))


def log_derived(run: Run, dataset: KspaceDataset) -> None:
    """Shows the genotype of a run, and where a latency is asked for how long its network takes."""
    run.log(f"genotype {describe(run.dir.genotype.read())}")
    if run.config.latency is not None:
        _log_latency(run, dataset)


def _log_latency(run: Run, dataset: KspaceDataset) -> None:
    """Measures the derived network of a run and writes latency.json."""
    asked = run.config.latency
    deployment, genotype = _deployment(run, dataset), run.dir.genotype.read()
    calibration = load_calibration(run, deployment)
    predicted = float(calibration.predict(deployment.predict(genotype)))
    measured, scan = deployment.measure(genotype), deployment.scan
    run.dir.latency.write(
        {
            "schema": 1,
            "unit": "ms",
            "device": device_kind(),
            "scope": "model",
            "shape": [asked.stack, *scan.size],
            "coils": scan.coils,
            "budget_ms": asked.budget_ms,
            "predicted_ms": predicted,
            "measured_ms": measured.to_json(),
        },
    )
    verdict = "within" if measured.p50 <= asked.budget_ms else "over"
    run.log(
        f"latency predicted {predicted:.2f} ms, measured {measured.p50:.2f} ms, {verdict} the "
        f"budget of {asked.budget_ms:g} ms",
    )


def _deployment(run: Run, dataset: KspaceDataset) -> UnrolledDeployment:
    config, scan = run.config, scan_of(run.config, dataset)
    measure = functools.partial(profile_unrolled, config, scan)
    table = obtain_table(run, measure)
    times = unrolled_times(table, config, scan, where=table_name(run))
    return UnrolledDeployment(config, scan, times)
