"""Networks of the space as they would be deployed: how fast the model says they are, and how fast
they are."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.named import config_labels
from jaxnas.engine.run import Run
from jaxnas.engine.timing import Timing
from jaxnas.ops.norm import fold_norms
from jaxnas.search.deployment import draw_like, measure_network
from jaxnas.search.device import obtain_table, table_name
from jaxnas.search.latency import (
    PATH_LATENCY,
    LatencyModel,
    OperationTimes,
    derived_cells,
    expected_latency,
    least_latency,
)
from jaxnas.segmentation.profile import operation_times, profile_operations, two_level_space
from jaxnas.segmentation.section import SegmentationConfig
from jaxnas.segmentation.task import init_segmentation
from jaxnas.spaces.arrangement import arranged
from jaxnas.spaces.derive import kept_of
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.grid import Path
from jaxnas.spaces.rtdnas import GRID_ARRANGED, TwoLevelSpace
from jaxnas.spaces.rtdnas_network import RtdnasNet

MOST_PATHS = 8  # of a network to calibrate on


@dataclass(frozen=True)
class GridDeployment:
    """The speed of derived networks of a config on this device, by the model and measured.

    Latencies are those of one frame of `search.latency.stack` slices through the model, ms.
    """

    config: SegmentationConfig
    space: TwoLevelSpace
    times: OperationTimes

    def network(self, genotype: Genotype) -> RtdnasNet:
        """The network of a genotype at the config's channels."""
        return two_level_network(self.config, genotype)

    def predict(self, genotype: Genotype) -> float:
        """The latency of the latency model, before any calibration."""
        return self.predictor(genotype)(genotype.drawn_paths())

    def predictor(self, genotype: Genotype) -> Callable[[Sequence[Path]], float]:
        """Returns latency(paths) of the cells of `genotype`; UserError for one that has a width of
        its own."""
        if genotype.arrangement is not None:
            raise UserError(
                "latency: its model knows the channels of section network alone, found a genotype "
                "with an arrangement of its own"
            )
        asked, operations = self.config.latency.path, self.space.operations
        kept = {
            name: jnp.asarray(kept_of(nodes, operations, inputs=self.space.cell_space.inputs))
            for name, nodes in genotype.cells
        }
        cell_ms = np.asarray(derived_cells(kept, self.times, cell=asked), np.float64)
        fixed = float(self.times.fixed_ms)
        return lambda paths: PATH_LATENCY[asked](paths, cell_ms, fixed_ms=fixed)

    def expect(self, weights: Mapping[str, Any]) -> jax.Array:
        """The expected latency of Eq. 5, before any calibration; differentiable.

        `weights` are softmaxed: `cells` {type: (edges, operations)} and `betas`.
        """
        return expected_latency(weights, self.times, grid=self.space.grid, model=self._model)

    def fastest(self) -> float:
        """The least that `expect` can be, ms."""
        edges = self.space.edges()
        return least_latency(self.times, edges, grid=self.space.grid, model=self._model)

    @property
    def _model(self) -> LatencyModel:
        asked = self.config.latency
        return LatencyModel(cell=asked.path, layer=asked.probabilities)

    def random_genotype(self, rng: np.random.Generator) -> Genotype:
        """Random cells, and one to eight random paths."""
        paths = int(rng.integers(1, min(MOST_PATHS, self.space.grid.paths) + 1))
        return self.space.random_genotype(rng, paths=paths)

    def measure(self, genotype: Genotype) -> Timing:
        """The measured latency of the network, whose weights do not matter and are random."""
        net, evaluate, rng = self.network(genotype), self.config.evaluate, np.random.default_rng(0)
        abstract = jax.eval_shape(
            lambda key: fold_norms(init_segmentation(key, net)), jax.random.key(0)
        )
        shape = (self.config.latency.stack, *self.config.data.size, 1)
        frame = jax.ShapeDtypeStruct(shape, jnp.float32)
        return measure_network(
            lambda variables, x: net.apply(variables, x, train=False),
            draw_like(rng, abstract),
            draw_like(rng, [frame] * 3),
            calls=evaluate.calls,
            seconds=evaluate.seconds,
        )


def two_level_network(config: SegmentationConfig, genotype: Genotype) -> RtdnasNet:
    """The network of a genotype at its own channels, or else those of a config."""
    network = arranged(config.network, genotype, GRID_ARRANGED)
    return RtdnasNet(
        genotype,
        network.channels,
        len(config_labels(config)),
        stem_stride=network.stem_stride,
        dtype=jnp.dtype(network.dtype),
    )


def load_deployment(run: Run) -> GridDeployment:
    """The deployment of a run, to predict and measure networks; measures the device if need be."""
    config = run.config
    table = obtain_table(run, functools.partial(profile_operations, config))
    times = operation_times(table, config, where=table_name(run))
    return GridDeployment(config, two_level_space(config), times)
