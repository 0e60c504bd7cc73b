"""Unrolled networks as they would be deployed: their latency by the model, and measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.engine.timing import Timing
from jaxnas.models.costing import abstract_measurement
from jaxnas.ops.candidates import NONE
from jaxnas.ops.costs import device_costs
from jaxnas.reconstruction.networks import init_variables
from jaxnas.reconstruction.profile import Scan, UnrolledTimes
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.search.deployment import draw_like, measure_network
from jaxnas.search.latency import LatencyModel, derived_stack_latency, expected_stack_latency
from jaxnas.spaces.deploy import deployed
from jaxnas.spaces.derive import kept_of
from jaxnas.spaces.genotype import Genotype
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
        """The latency of the latency model, before any calibration."""
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
