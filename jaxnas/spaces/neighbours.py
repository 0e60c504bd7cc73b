"""The genotypes one edit away: another operation, or another input, at one place of a cell."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from jaxnas.ops.candidates import NONE
from jaxnas.spaces.derive import kept_of
from jaxnas.spaces.genotype import Genotype, Nested, Node
from jaxnas.spaces.space import CellSpace


def neighbours(space: CellSpace, genotype: Genotype) -> tuple[Genotype, ...]:
    """All that a space of one cell holds and that differs from `genotype` in a single pick.

    Where a genotype has weights, those of a neighbour are even: its own belong to what was
    searched. Arrangement and paths stay.
    """
    found: dict[Genotype, None] = {}
    for name, nodes in genotype.cells:
        for index, node in enumerate(nodes):
            for other in _edits(space, index, node):
                changed = (*nodes[:index], other, *nodes[index + 1 :])
                if _kept(space, changed):
                    cells = tuple((n, changed if n == name else own) for n, own in genotype.cells)
                    weights = None
                    if genotype.weights is not None:
                        weights = tuple((n, _even_weights(own)) for n, own in cells)
                    found[replace(genotype, cells=cells, weights=weights)] = None
    return tuple(found)


def _edits(space: CellSpace, index: int, node: Node) -> Iterator[Node]:
    """The node with one pick exchanged, picks in the order of their inputs and operations."""
    order = {name: at for at, name in enumerate(space.operations)}
    for at, own in enumerate(node):
        for source in range(index + space.inputs):
            for name in space.operations:
                pick = (name, source)
                if name != NONE and pick != own and pick not in node:
                    picks = (*node[:at], pick, *node[at + 1 :])
                    yield tuple(sorted(picks, key=lambda p: (p[1], order[p[0]])))


def _even_weights(nodes: tuple[Node, ...]) -> Nested:
    """Weights that the picks of an edge share evenly."""
    return tuple(
        tuple(1.0 / sum(s == source for _, s in node) for _, source in node) for node in nodes
    )


def _kept(space: CellSpace, nodes: tuple[Node, ...]) -> bool:
    """True where the rule of the space keeps these picks."""
    kept = kept_of(nodes, space.operations, inputs=space.inputs)
    return bool(np.array_equal(space.rule.keep(kept.astype(float)), kept))
