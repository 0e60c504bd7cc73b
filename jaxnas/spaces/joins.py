"""The joining of a derived cell's linear maps into convolutions: a plan by cost, computed ahead.

A node of a derived cell is Σ_j Σ_o w_o L_o(ReLU(x_j)), with linear maps L_o, plus skips. So any of
the maps that leave one state x_j, towards whichever nodes, can be joined: their kernels are
written densely, those towards one node are added, those towards different nodes are laid side by
side as output channels. A map that is cheaper as it was searched, such as a separable one at many
channels, is kept. Whatever the plan, the function is the same.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from jaxnas.ops.candidates import NONE, OPERATIONS, SKIP
from jaxnas.ops.costs import Prices
from jaxnas.ops.plans import dense_shape
from jaxnas.spaces.genotype import Nested, Node


class Term(NamedTuple):
    """`weight` times an operation, on its way to node number `node`."""

    node: int
    operation: str
    weight: float


class Leaving(NamedTuple):
    """All terms that leave one state: skips, maps kept as they are, and joined ones."""

    skips: tuple[Term, ...]
    kept: tuple[Term, ...]
    joins: tuple[tuple[Term, ...], ...]


def plan_nodes(
    picks: Sequence[Node], weights: Nested, *, channels: int, prices: Prices, inputs: int = 2
) -> tuple[Leaving, ...]:
    """The cheapest plan found for a cell, one `Leaving` per state: its inputs, then its nodes.

    Starts from every map on its own and joins, time after time, the two groups that save most.
    """
    leaving = []
    for source in range(inputs + len(picks)):
        terms = [
            Term(node, operation, weight)
            for node, (pairs, shares) in enumerate(zip(picks, weights))
            for (operation, at), weight in zip(pairs, shares)
            if at == source and operation != NONE
        ]
        skips = tuple(term for term in terms if term.operation == SKIP)
        groups = _joined([t for t in terms if t.operation != SKIP], channels, prices)
        kept = tuple(group[0] for group in groups if _is_kept(group, channels, prices))
        joins = tuple(group for group in groups if not _is_kept(group, channels, prices))
        leaving.append(Leaving(skips, kept, joins))
    return tuple(leaving)


def targets(join: Sequence[Term]) -> tuple[int, ...]:
    """The nodes that a join leads to, in the order of its output channels."""
    return tuple(sorted({term.node for term in join}))


def support(join: Sequence[Term]) -> tuple[int, int]:
    """Height and width of the kernel of a join."""
    shapes = [dense_shape(term.operation, 1) for term in join]
    return max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)


def _joined(terms: Sequence[Term], channels: int, prices: Prices) -> list[tuple[Term, ...]]:
    groups = [(term,) for term in terms]
    while len(groups) > 1:
        pairs = list(combinations(groups, 2))
        savings = [_saved(*pair, channels, prices) for pair in pairs]
        if max(savings) <= 0:
            break
        first, second = pairs[savings.index(max(savings))]
        groups = [first + second if g is first else g for g in groups if g is not second]
    return groups


def _saved(
    first: tuple[Term, ...], second: tuple[Term, ...], channels: int, prices: Prices
) -> float:
    apart = _cost(first, channels, prices) + _cost(second, channels, prices)
    return apart - _cost(first + second, channels, prices)


def _is_kept(group: Sequence[Term], channels: int, prices: Prices) -> bool:
    alone = len(group) == 1
    return alone and _kept_cost(group[0], channels, prices) <= _dense_cost(group, channels, prices)


def _cost(group: Sequence[Term], channels: int, prices: Prices) -> float:
    """The price of a group of terms; every node it leads to has one more array to add."""
    cost = _dense_cost(group, channels, prices)
    if len(group) == 1:
        cost = min(cost, _kept_cost(group[0], channels, prices))
    return cost + prices.value * channels * len(targets(group))


def _dense_cost(join: Sequence[Term], channels: int, prices: Prices) -> float:
    outputs = channels * len(targets(join))
    macs = math.prod(support(join)) * channels * max(outputs, prices.outputs)
    return macs + prices.value * (channels + outputs)


def _kept_cost(term: Term, channels: int, prices: Prices) -> float:
    total = 0.0
    for spec in OPERATIONS[term.operation].specs(channels).values():
        macs = math.prod(spec.shape)
        if len(spec.shape) == 3:  # depthwise
            macs *= prices.tap
        elif len(spec.shape) == 4:
            macs *= max(channels, prices.outputs) / channels
        total += macs + prices.value * 2 * channels
    return total
