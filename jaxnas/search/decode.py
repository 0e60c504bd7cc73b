"""Paths out of betas: the pool of the best paths, and the network of a given number of them.

An individual is an ascending tuple of indices into the pool, which is sorted by weight; so the
first individual holds the heaviest paths.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.search.section import DecodeConfig
from jaxnas.spaces.grid import Grid, Path, log_betas

Individual = tuple[int, ...]
Fitness = Callable[[tuple[Path, ...]], float]  # a set of paths → its latency in ms


@dataclass(frozen=True)
class Decoded:
    """The paths of a network, heaviest first, and its fitness in ms.

    `history` is the best fitness after every generation, of a search that has any.
    """

    paths: tuple[Path, ...]
    latency_ms: float
    history: tuple[float, ...] = ()


def best_paths(betas: np.ndarray, grid: Grid, *, count: int = 10) -> tuple[Path, ...]:
    """The `count` heaviest legal paths by Σ log β, heaviest first; fewer if there are not as many.

    Exact k-best Viterbi: every tile keeps its `count` best ways, O(L · D · count · log count). Of
    equal weights the smaller tuple of scales comes first. Softmaxed `betas` (L, D, 3); ValueError
    unless they are numbers of that shape.
    """
    if np.shape(betas) != grid.mask.shape or not np.isfinite(betas).all():
        raise ValueError(
            f"betas of shape {np.shape(betas)}, expected finite numbers {grid.mask.shape}"
        )
    cost = -log_betas(betas)
    ways: dict[int, list[tuple[float, Path]]] = {0: [(0.0, (0,))]}
    for l in range(grid.layers):
        arriving: dict[int, list[tuple[float, Path]]] = {}
        for s, best in ways.items():
            for d in np.flatnonzero(grid.mask[l, s]):
                t = s + int(d) - 1
                arriving.setdefault(t, []).extend(
                    (c + float(cost[l, s, d]), (*path, t)) for c, path in best
                )
        ways = {t: heapq.nsmallest(count, found) for t, found in arriving.items()}
    ends = (way for best in ways.values() for way in best)
    return tuple(path for _, path in heapq.nsmallest(count, ends))


def check_count(pool: Sequence[Path], count: int) -> None:
    """UserError unless a network can have `count` different paths of the pool."""
    if not 1 <= count <= len(pool):
        raise UserError(
            f"decode: a network of {count} paths was asked for; the pool has {len(pool)}, "
            f"give 1 to {len(pool)}"
        )


def dijkstra(pool: Sequence[Path], count: int, fitness: Fitness) -> Decoded:
    """The `count` heaviest paths of a pool, whatever their latency (MS-NAS)."""
    check_count(pool, count)
    paths = tuple(pool[:count])
    return Decoded(paths, fitness(paths))


def exhaustive(pool: Sequence[Path], count: int, fitness: Fitness) -> Decoded:
    """The fastest of all sets of `count` paths; of equals the one of the heavier paths."""
    check_count(pool, count)
    sets = (tuple(pool[i] for i in genes) for genes in combinations(range(len(pool)), count))
    latency, paths = min(((fitness(paths), paths) for paths in sets), key=lambda found: found[0])
    return Decoded(paths, latency)


def heaviest(
    config: DecodeConfig, pool: Sequence[Path], count: int, fitness: Fitness, seed: int
) -> Decoded:
    """`dijkstra`, as an entry of `DECODERS`."""
    return dijkstra(pool, count, fitness)


def fastest(
    config: DecodeConfig, pool: Sequence[Path], count: int, fitness: Fitness, seed: int
) -> Decoded:
    """`exhaustive`, as an entry of `DECODERS`."""
    return exhaustive(pool, count, fitness)
