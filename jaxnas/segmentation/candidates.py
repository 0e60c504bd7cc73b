"""The networks that a segmentation can select: what they are drawn from, and what they cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jaxnas.engine.run import Run
from jaxnas.search.device import load_calibration
from jaxnas.search.pool import Costs
from jaxnas.segmentation.deployment import load_deployment, two_level_network
from jaxnas.segmentation.derive import derived_genotypes
from jaxnas.segmentation.networks import segmentation_cost
from jaxnas.segmentation.profile import two_level_space
from jaxnas.segmentation.section import SegmentationConfig
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.rtdnas import TwoLevelSpace


@dataclass(frozen=True)
class GridCandidates:
    """The `CandidateSource` of networks on the grid, with as many paths as `decode.paths` says.

    `found` are the networks that a search was decoded to, the last first; `latency` predicts the
    milliseconds of a frame, None where no budget asks for them.
    """

    config: SegmentationConfig
    found: Sequence[Genotype] = ()
    latency: Callable[[Genotype], float] | None = None

    @property
    def space(self) -> TwoLevelSpace:
        """The space of the config."""
        return two_level_space(self.config)

    def random(self, rng: np.random.Generator) -> Genotype:
        """Random cells and random paths."""
        counts = [n for n in self.config.decode.paths if n <= self.space.grid.paths]
        return self.space.random_genotype(rng, paths=int(rng.choice(counts or [1])))

    def searched(self) -> Sequence[Genotype]:
        """The networks that a search was decoded to, the last first."""
        return self.found

    def hand_made(self) -> Mapping[str, Genotype]:
        """None: no hand-made network is a point of the space."""
        return {}

    def neighbours(self, genotype: Genotype) -> Sequence[Genotype]:
        """The networks of the same paths whose cells differ in one pick."""
        return self.space.cell_space.neighbours(genotype)

    def cost(self, genotype: Genotype) -> Costs:
        """Multiply-accumulates of one slice, parameters, and `ms` of a frame where asked for."""
        if genotype not in self._known:
            net = two_level_network(self.config, genotype)
            counted = segmentation_cost(net, self.config.data.size)
            self._known[genotype] = {"macs": counted.cost.macs, "params": counted.params}
        times = {} if self.latency is None else {"ms": self.latency(genotype)}
        return {**self._known[genotype], **times}

    @cached_property
    def _known(self) -> dict[Genotype, Costs]:
        return {}


def load_candidates(run: Run) -> GridCandidates:
    """The candidates of a run; measures the device where a budget in ms needs it."""
    config = run.config
    found = tuple(derived_genotypes(run).values()) if run.dir.networks.exists() else ()
    if config.select.budget.ms is None:
        return GridCandidates(config, found[::-1])
    deployment = load_deployment(run)
    fitted = load_calibration(run, deployment)

    def predict(genotype: Genotype) -> float:
        return float(fitted.predict(deployment.predict(genotype)))

    return GridCandidates(config, found[::-1], predict)
