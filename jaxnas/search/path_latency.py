"""The latency of a derived network by the model: a set of paths, each cell once."""

from collections.abc import Iterable

import numpy as np

from jaxnas.spaces.grid import GridCell, Path, union_cells


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
