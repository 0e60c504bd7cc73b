"""The two-level space of RT-DNAS: a cell of each type, and paths through the grid.

It contains a `CellSpace` for the cells of one input, and adds what is of the network: the betas,
the paths, and the relaxation that turns logits into weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnas.core.errors import UserError
from jaxnas.spaces.derive import ONE_PAIR, TWO_PAIRS, CellEdge
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.grid import CELL_TYPES, Grid, Path, check_paths, random_path, union_cells
from jaxnas.spaces.relaxation import relax
from jaxnas.spaces.rtdnas_supernet import RtdnasSupernet
from jaxnas.spaces.section import SEGMENTATION_OPERATIONS
from jaxnas.spaces.space import ALPHA_SCALE, OFF, CellSpace, rounded

GRID_ARRANGED = ("channels",)
RULES = {1: ONE_PAIR, 2: TWO_PAIRS}  # by `cell_topk`
_EXAMPLE = (("sep_conv_3x3",), ("skip_connect",), ("sep_conv_3x3",))


@dataclass(frozen=True)
class TwoLevelSpace:
    """Cells of one input on a grid; the cells of a type share their alphas.

    A derived node keeps `cell_topk` (1 or 2) of the pairs (input, operation), of different inputs.
    `relaxation` is `joint` or `separate`; see `spaces.relaxation`.
    """

    name: str
    operations: tuple[str, ...]
    grid: Grid
    nodes: int = 3
    cell_topk: int = 2
    relaxation: str = "joint"

    @property
    def arranged(self) -> tuple[str, ...]:
        """The keys of the section `network` that a genotype may arrange."""
        return GRID_ARRANGED

    @property
    def cell_space(self) -> CellSpace:
        """The space that cells are chosen from."""
        known = {name for names in _EXAMPLE for name in names} <= set(self.operations)
        example = _EXAMPLE if known else (self.operations[-1:],)
        rule = RULES[self.cell_topk]
        return CellSpace(self.name, self.operations, rule, example, CELL_TYPES, self.nodes)

    @property
    def cells(self) -> tuple[str, ...]:
        """The types of cell."""
        return CELL_TYPES

    def edges(self) -> tuple[CellEdge, ...]:
        """The (node, input) edges of a cell: the rows of its tables."""
        return self.cell_space.edges()

    def alpha_shapes(self) -> dict[str, Any]:
        """The shapes of the logits, nested like them."""
        edges = len(self.edges())
        shapes = {
            "cells": dict.fromkeys(CELL_TYPES, (edges, len(self.operations))),
            "betas": self.grid.mask.shape,
        }
        if self.relaxation == "separate":
            shapes["inputs"] = dict.fromkeys(CELL_TYPES, (edges,))
        return shapes

    def init_alphas(self, key: jax.Array) -> dict[str, Any]:
        """Logits close to zero, so that every choice starts with about the same weight."""
        leaves, tree = jax.tree.flatten(self.alpha_shapes(), is_leaf=lambda x: isinstance(x, tuple))
        keys = jax.random.split(key, len(leaves))
        draws = [ALPHA_SCALE * jax.random.normal(k, shape) for k, shape in zip(keys, leaves)]
        return jax.tree.unflatten(tree, draws)

    def relax(self, alphas: Mapping[str, Any]) -> dict[str, Any]:
        """The weights {"cells": {type: (edges, operations)}, "betas": (L, D, 3)} of logits."""
        return relax(alphas, self.grid.mask, relaxation=self.relaxation)

    def derive(
        self,
        weights: Mapping[str, Any],
        *,
        paths: Sequence[Path] | None = None,
        max_skips: int | None = None,
    ) -> Genotype:
        """The genotype of softmaxed weights and of `paths`, which are decoded elsewhere.

        Deterministic: of equal weights the earlier operation and input is kept.
        """
        cells = self.cell_space.derive(weights["cells"], max_skips=max_skips).cells
        return Genotype(self.name, cells, None if paths is None else tuple(map(tuple, paths)))

    def record(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """The `weights` of every type of cell and the `betas`, to six digits."""
        found = rounded(weights)
        return {"weights": found["cells"], "betas": found["betas"]}

    def decision(self, record: Mapping[str, Any]) -> Any:
        """The picks of every cell, and the heaviest way out of every tile."""
        ways = np.asarray(record["betas"]).argmax(axis=-1)
        return record["genotype"]["cells"], ways.tolist()

    def random_alphas(self, key: jax.Array) -> dict[str, Any]:
        """Logits of cells drawn uniformly and of one way out of every tile; works inside jit."""
        k_cells, k_betas = jax.random.split(key)
        cells = self.cell_space.random_alphas(k_cells)
        mask = self.grid.mask
        draws = jnp.where(mask, jax.random.uniform(k_betas, mask.shape), -1.0)
        chosen = draws == draws.max(axis=-1, keepdims=True)
        return self._alphas(cells, jnp.where(chosen, 0.0, OFF))

    def random_genotype(self, rng: np.random.Generator, *, paths: int) -> Genotype:
        """Random cells, and `paths` different paths, each uniform among those not drawn before.

        ValueError if the grid has fewer.
        """
        if not 1 <= paths <= self.grid.paths:
            raise ValueError(f"expected 1 to {self.grid.paths} paths, found {paths}")
        shape = (len(self.edges()), len(self.operations))
        cells = {cell: rng.random(shape) for cell in CELL_TYPES}
        chosen: dict[Path, None] = {}
        while len(chosen) < paths:
            chosen[random_path(rng, self.grid)] = None
        return self.derive({"cells": cells}, paths=sorted(chosen))

    def one_hot_alphas(self, genotype: Genotype) -> dict[str, Any]:
        """Logits that share the weight of every node evenly among its picks, that of every tile
        evenly among the genotype's cells that leave it."""
        cells = self.cell_space.one_hot_alphas(genotype)
        betas = np.full(self.grid.mask.shape, OFF, np.float32)
        betas[tuple(zip(*union_cells(genotype.drawn_paths())))] = 0.0
        return self._alphas(cells, jnp.asarray(betas))

    def example_genotype(self) -> Genotype:
        """A genotype that stands in where none was searched yet: two U-shaped paths."""
        cells = self.cell_space.example_genotype().cells
        layers = self.grid.layers
        paths = dict.fromkeys(
            tuple(min(l, layers - l, depth) for l in range(layers + 1))
            for depth in (self.grid.scales - 1, min(1, self.grid.scales - 1))
        )
        return Genotype(self.name, cells, tuple(sorted(paths)))

    def check(self, genotype: Genotype, *, where: str = "genotype") -> Genotype:
        """Returns `genotype` if the space holds it; otherwise UserError with the first misfit."""
        self.cell_space.check(genotype, where=where)
        for cell, nodes in genotype.cells:
            if len(nodes) != self.nodes:
                raise UserError(
                    f"{where}: cell {cell!r} has {len(nodes)} nodes; a cell of space "
                    f"{self.name!r} has {self.nodes}"
                )
        check_paths(genotype.paths, self.grid, where=where)
        return genotype

    def _alphas(self, cells: dict[str, jax.Array], betas: jax.Array) -> dict[str, Any]:
        """One-hot logits; an input of a node is chosen where one of its operations is."""
        alphas = {"cells": cells, "betas": betas}
        if self.relaxation == "separate":
            alphas["inputs"] = {name: table.max(axis=1) for name, table in cells.items()}
        return alphas


RTDNAS = TwoLevelSpace("rtdnas", SEGMENTATION_OPERATIONS, Grid())


class RelaxedSupernet(nn.Module):
    """The supernet with its logits, declared here once, in the collection `alphas`."""

    space: TwoLevelSpace
    net: RtdnasSupernet

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Images (B, H, W, any) → float32 logits (B, H, W, classes)."""
        alphas = {
            name: self.variable("alphas", name, self._initial, name).value
            for name in self.space.alpha_shapes()
        }
        return self.net(x, self.space.relax(alphas), train=train)

    def _initial(self, name):
        return self.space.init_alphas(self.make_rng("params"))[name]
