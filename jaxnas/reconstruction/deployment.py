"""Unrolled networks as they would be deployed: their latency by the model, and measured; what the
search of a run is held to, and what its network takes.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.engine.run import Run
from jaxnas.engine.timing import Timing
from jaxnas.models.costing import abstract_measurement
from jaxnas.ops.candidates import NONE
from jaxnas.ops.costs import device_costs
from jaxnas.reconstruction.dataset import KspaceDataset
from jaxnas.reconstruction.networks import init_variables
from jaxnas.reconstruction.profile import Scan, UnrolledTimes, profile_unrolled, unrolled_times
from jaxnas.reconstruction.section import LatencyConfig, ReconstructionConfig
from jaxnas.search.deployment import draw_like, measure_network
from jaxnas.search.device import (
    given_table,
    load_calibration,
    load_objective,
    obtain_table,
    table_name,
)
from jaxnas.search.latency import LatencyModel, derived_stack_latency, expected_stack_latency
from jaxnas.search.latency_table import device_kind
from jaxnas.search.objective import ACCURACY, SearchObjective
from jaxnas.spaces.deploy import deployed
from jaxnas.spaces.derive import kept_of
from jaxnas.spaces.genotype import Genotype, describe
from jaxnas.spaces.space import CellSpace
from jaxnas.spaces.supernet import derived_network, space_of

_MEASUREMENTS = 3  # different ones in turn


@dataclass(frozen=True)
class UnrolledDeployment:
    """The speed of derived networks of a config on this device, by the model and measured.

    Latencies are those of `latency.stack` slices at once, from measured k-space to images, ms.
    """

    config: ReconstructionConfig
    scan: Scan
    times: UnrolledTimes

    @property
    def space(self) -> CellSpace:
        """The space of the config."""
        return space_of(self.config.network)

    def random_genotype(self, rng: np.random.Generator) -> Genotype:
        """The genotype derived of random weights."""
        space = self.space
        shape = (len(space.edges()), len(space.operations))
        return space.derive({name: rng.random(shape) for name in space.cells})

    def predict(self, genotype: Genotype) -> float:
        """The latency of the latency model, before any calibration; UserError for a genotype that
        is arranged otherwise than the config."""
        if genotype.arrangement is not None:
            raise UserError(
                "latency: its model knows the arrangement of section network alone, found a "
                "genotype with one of its own; leave the section latency out"
            )
        space = self.space
        kept = {
            name: jnp.asarray(kept_of(nodes, space.operations, inputs=space.inputs))
            for name, nodes in genotype.cells
        }
        times = self.times
        return float(
            derived_stack_latency(
                kept,
                times.op_ms,
                cells=times.cells,
                inputs=space.inputs,
                fixed_ms=times.fixed_ms,
                cell=self.config.timed.path,
            )
        )

    def expect(self, weights: Mapping[str, Any]) -> jax.Array:
        """The expected latency of what is derived of softmaxed weights {cell: (edges, operations)},
        before any calibration; differentiable."""
        times = self.times
        return expected_stack_latency(
            self.space.expected_picks(weights),
            times.op_ms,
            cells=times.cells,
            inputs=self.space.inputs,
            fixed_ms=times.fixed_ms,
            model=LatencyModel(cell=self.config.timed.path),
        )

    def measure(self, genotype: Genotype) -> Timing:
        """The measured latency of the network, whose weights do not matter."""
        asked, scan = self.config.timed, self.scan
        net = deployed(
            derived_network(self.config.network, genotype),
            prices=device_costs(jax.default_backend()).deployment,
        )
        variables = init_variables(jax.random.key(0), net, coils=scan.coils)
        measurement = abstract_measurement(
            scan.size, batch=asked.stack, coils=scan.coils, points=scan.points
        )
        return measure_network(
            net.apply,
            variables,
            draw_like(np.random.default_rng(0), [measurement] * _MEASUREMENTS),
            calls=asked.calls,
            seconds=asked.seconds,
        )

    def fastest(self) -> float:
        """The least that `expect` can be, ms: every edge has the fastest operation."""
        space = self.space
        real = [name != NONE for name in space.operations]
        best = int(np.argmin(np.where(real, self.times.op_ms, np.inf)))
        table = np.zeros((len(space.edges()), len(space.operations)))
        table[:, best] = 1.0
        return float(self.expect(dict.fromkeys(space.cells, table)))


def with_latency(config: ReconstructionConfig) -> ReconstructionConfig:
    """The config with the defaults of its section `latency` where it has none; UserError for a
    space that no latency model knows."""
    if "body" in space_of(config.network).arranged:
        raise UserError(
            f"network.space: no latency model knows {config.network.space}; expected csmri_a, "
            f"csmri_b, fedautomri or another space of such cells"
        )
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
