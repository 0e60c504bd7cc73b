"""The networks that a reconstruction can select: what they are drawn from, and what they cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.search.pool import Costs
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.space import CellSpace
from jaxnas.spaces.supernet import derived_size, space_of


@dataclass(frozen=True)
class UnrolledCandidates:
    """The `CandidateSource` of unrolled networks for images of `size`.

    `found` are the genotypes along a search before, the last first.
    """

    config: ReconstructionConfig
    size: tuple[int, int]
    found: Sequence[Genotype] = ()

    @property
    def space(self) -> CellSpace:
        """The space of the config."""
        return space_of(self.config.network)

    def random(self, rng: np.random.Generator) -> Genotype:
        """The genotype derived of random weights."""
        shape = (len(self.space.edges()), len(self.space.operations))
        return self.space.derive({name: rng.random(shape) for name in self.space.cells})

    def searched(self) -> Sequence[Genotype]:
        """The genotypes along the search, the last first."""
        return self.found

    def hand_made(self) -> Mapping[str, Genotype]:
        """The hand-made networks that are points of the space."""
        return self.space.hand_made()

    def neighbours(self, genotype: Genotype) -> Sequence[Genotype]:
        """The genotypes one edit away."""
        return self.space.neighbours(genotype)

    def cost(self, genotype: Genotype) -> Costs:
        """Multiply-accumulates of one image, and parameters."""
        size = derived_size(self.config.network, genotype, where="select")
        return {"macs": size.macs * math.prod(self.size), "params": size.params}
