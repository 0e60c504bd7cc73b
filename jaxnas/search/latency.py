"""Latency by the model, in milliseconds: that of a derived network, and what a supernet is expected
to have, differentiable in its softmaxed weights.

    L_t = Σ_l Σ_c k_c^l Lat_c        (Eq. 5)

k is the probability that a network has the cell, Lat_c the cell's latency of Eq. 3 and 4.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.trees import add_up
from jaxnas.search.cell_latency import CELL_LATENCY, EDGE_LATENCY, derived_cell, expected_cell
from jaxnas.spaces.grid import CELL_TYPES, Grid, GridCell, Path, union_cells


class OperationTimes(NamedTuple):
    """Milliseconds of what networks on a grid of D scales are made of, at deployed channels."""

    op_ms: Any  # (D, O) an operation at a scale
    scaling_ms: Any  # (3, D) the end of a cell by direction and scale, NaN where there is none
    fixed_ms: Any  # () stem and head


def _forward(grid: Grid, betas: Any) -> jax.Array:
    del betas
    arrivals = np.where(grid.mask, grid.forward_counts()[:-1, :, None], 0)
    return jnp.asarray(arrivals / arrivals.sum(axis=(1, 2), keepdims=True), jnp.float32)


def _end_to_end(grid: Grid, betas: Any) -> jax.Array:
    del betas
    return jnp.asarray(grid.path_counts() / grid.paths, jnp.float32)


def _beta(grid: Grid, betas: Any) -> jax.Array:
    betas = jnp.where(grid.mask, jnp.asarray(betas, jnp.float32), 0.0)
    here = jnp.zeros(grid.scales, jnp.float32).at[0].set(1.0)
    layers = []
    for beta in betas:
        layers.append(here[:, None] * beta)
        up, keep, down = layers[-1].T
        here = keep + jnp.pad(up[1:], (0, 1)) + jnp.pad(down[:-1], (1, 0))
    return jnp.stack(layers)


# `end_to_end`: the share of all legal paths that use a cell, which makes Eq. 5 the mean latency of
# a path. `forward`: the share of the ways that arrive at a cell's tile, over the layer's cells.
# `beta`: the probability under the betas, the only one with a gradient to them.
LAYER_PROBABILITIES = {"end_to_end": _end_to_end, "forward": _forward, "beta": _beta}


def layer_probabilities(
    grid: Grid, *, betas: Any = None, layer: str = "end_to_end", paths: int = 1
) -> jax.Array:
    """k of Eq. 5, float32 (L, D, 3): the probability that a network of `paths` paths has a cell.

    Softmaxed `betas` (L, D, 3) are read by `beta` alone. For one path a layer adds up to 1; of
    several independent paths a cell is in at least one with 1 − (1 − k)^paths.
    """
    k = LAYER_PROBABILITIES[layer](grid, betas)
    return k if paths == 1 else 1.0 - (1.0 - k) ** paths


@dataclass(frozen=True)
class LatencyModel:
    """The rules by which latencies add up; the names are keys of EDGE_LATENCY, CELL_LATENCY and
    LAYER_PROBABILITIES.

    `paths` is the number of paths the derived network will have; 1 is Eq. 5. ValueError for a
    name that is not in its table.
    """

    edge: str = "joint"
    cell: str = "longest"
    layer: str = "end_to_end"
    paths: int = 1

    def __post_init__(self) -> None:
        for name, table in (
            ("edge", EDGE_LATENCY),
            ("cell", CELL_LATENCY),
            ("layer", LAYER_PROBABILITIES),
        ):
            if getattr(self, name) not in table:
                found = getattr(self, name)
                raise ValueError(f"{name} is {found!r}; expected one of {', '.join(table)}")
        if self.paths < 1:
            raise ValueError(f"paths is {self.paths}; expected at least 1")


PAPER_LATENCY = LatencyModel()


def expected_cells(
    cells: Mapping[str, Any], times: OperationTimes, *, model: LatencyModel = PAPER_LATENCY
) -> jax.Array:
    """Every kind of mixed cell at every scale, in ms: {type: weights (E, O)} → (3, D)."""
    rows = [
        expected_cell(cells[name], times.op_ms, edge=model.edge, cell=model.cell)
        for name in CELL_TYPES
    ]
    return jnp.stack(rows) + jnp.asarray(times.scaling_ms, jnp.float32)


def derived_cells(
    kept: Mapping[str, jax.Array], times: OperationTimes, *, cell: str = "serial"
) -> jax.Array:
    """Every kind of derived cell at every scale, in ms: {type: kept (E, O) bool} → (3, D)."""
    rows = [derived_cell(kept[name], times.op_ms, cell=cell) for name in CELL_TYPES]
    return jnp.stack(rows) + jnp.asarray(times.scaling_ms, jnp.float32)


def expected_latency(
    weights: Mapping[str, Any],
    times: OperationTimes,
    *,
    grid: Grid,
    model: LatencyModel = PAPER_LATENCY,
) -> jax.Array:
    """L_t of Eq. 5 in ms, a float32 scalar, of the softmaxed weights of a supernet on a grid.

    `weights` is {"cells": {type: (E, O)}, "betas": (L, D, 3)}.
    """
    cell_ms = expected_cells(weights["cells"], times, model=model)
    k = layer_probabilities(grid, betas=weights["betas"], layer=model.layer, paths=model.paths)
    # A cell that is not live may be NaN in the table, and 0 · NaN is NaN.
    per_cell = jnp.where(grid.mask, jnp.broadcast_to(cell_ms.T, k.shape), 0.0)
    return jnp.sum(k * per_cell) + jnp.asarray(times.fixed_ms, jnp.float32)


def least_latency(
    times: OperationTimes,
    edges: Sequence[tuple[int, int]],
    *,
    grid: Grid,
    model: LatencyModel = PAPER_LATENCY,
) -> float:
    """The least that `expected_latency` can be, in ms, for cells of those (node, input) `edges`.

    Every node draws the fastest operation from input 0: all nodes are then side by side. Only
    probabilities that follow the betas can choose the fastest path.
    """
    op_ms = np.asarray(times.op_ms)
    fastest = times._replace(op_ms=np.broadcast_to(op_ms.min(1, keepdims=True), op_ms.shape))
    table = np.zeros((len(edges), op_ms.shape[1]), np.float32)
    table[[source == 0 for _, source in edges], 0] = 1.0
    cells = dict.fromkeys(CELL_TYPES, table)
    if model.layer != "beta":
        weights = {"cells": cells, "betas": np.zeros(grid.mask.shape)}
        return float(expected_latency(weights, fastest, grid=grid, model=model))
    cell_ms = np.asarray(expected_cells(cells, fastest, model=model))
    here = np.where(np.arange(grid.scales) == 0, 0.0, np.inf)
    for live in grid.mask:
        there = np.full_like(here, np.inf)
        for s, d in zip(*np.nonzero(live)):
            there[s + d - 1] = min(there[s + d - 1], here[s] + cell_ms[d, s])
        here = there
    return float(here.min() + times.fixed_ms)


def expected_stack_latency(
    weights: Mapping[str, jax.Array],
    op_ms: jax.Array | np.ndarray,
    *,
    cells: int,
    inputs: int = 2,
    fixed_ms: float = 0.0,
    model: LatencyModel = PAPER_LATENCY,
) -> jax.Array:
    """The expected latency in ms of a network that is a stack of cells at one scale; a scalar.

    `weights` {kind: (E, O)} say how many of every operation an edge has, 1 in all where they are
    softmaxed edge by edge (then `joint` and `conditional` agree); `op_ms` (O,) are the operations
    in ms. Each kind of cell stands `cells` times in the network, over all its iterations.
    `fixed_ms` is everything else.
    """
    per_kind = [
        expected_cell(w, op_ms, inputs=inputs, edge=model.edge, cell=model.cell)
        for w in weights.values()
    ]
    return cells * add_up(per_kind) + fixed_ms


def derived_stack_latency(
    kept: Mapping[str, jax.Array],
    op_ms: jax.Array | np.ndarray,
    *,
    cells: int,
    inputs: int = 2,
    fixed_ms: float = 0.0,
    cell: str = "serial",
) -> jax.Array:
    """The same of a derived network: {kind: kept (E, O) bool}."""
    per_kind = [derived_cell(k, op_ms, inputs=inputs, cell=cell) for k in kept.values()]
    return cells * add_up(per_kind) + fixed_ms


def serial_latency(paths: Iterable[Path], cell_ms: np.ndarray, *, fixed_ms: float = 0.0) -> float:
    """Stem, head and every cell of the union one after the other, in ms.

    `cell_ms` (3, D) holds the cells by direction and scale; NaN where the union needs a cell that
    has none raises ValueError.
    """
    cells = union_cells(paths)
    return fixed_ms + sum(_times(cells, cell_ms).values())


def critical_latency(paths: Iterable[Path], cell_ms: np.ndarray, *, fixed_ms: float = 0.0) -> float:
    """Stem, head and the longest chain of cells from start to end, in ms: all else in parallel.

    A tile waits for all its cells, t[l + 1, s'] = max over its cells (t[l, s] + ms of the cell).
    Arguments as in `serial_latency`.
    """
    cells = union_cells(paths)
    done = {(0, 0): 0.0}
    for (l, s, d), ms in _times(cells, cell_ms).items():  # ascending layers
        tile = (l + 1, s + d - 1)
        done[tile] = max(done.get(tile, 0.0), done[l, s] + ms)
    return fixed_ms + max(ms for (l, _), ms in done.items() if l == cells[-1][0] + 1)


PATH_LATENCY = {"serial": serial_latency, "longest": critical_latency}


def _times(cells: Iterable[GridCell], cell_ms: np.ndarray) -> dict[GridCell, float]:
    """The milliseconds of every cell."""
    times = {(l, s, d): float(cell_ms[d, s]) for l, s, d in cells}
    for cell, ms in times.items():
        if not ms >= 0:
            raise ValueError(f"cell (layer, scale, direction) {cell} takes {ms} ms, expected ≥ 0")
    return times
