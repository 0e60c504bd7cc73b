"""Paths through the grid: a path is the tuple of its L + 1 scales, one per layer boundary."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.spaces.grid import Grid, GridCell

Path = tuple[int, ...]


def path_cells(path: Path) -> tuple[GridCell, ...]:
    """The L cells (layer, scale, direction) of a path, in order."""
    return tuple((l, s, t - s + 1) for l, (s, t) in enumerate(pairwise(path)))


def union_cells(paths: Iterable[Path]) -> tuple[GridCell, ...]:
    """The cells of all paths, each once, ascending: what a derived network consists of."""
    return tuple(sorted({cell for path in paths for cell in path_cells(path)}))


def path_weight(path: Path, betas: np.ndarray) -> float:
    """Σ log β over the cells of a path; softmaxed `betas` (L, D, 3). −∞ where one of them is 0."""
    return sum(float(log) for log in log_betas(betas)[tuple(zip(*path_cells(path)))])


def union_weight(paths: Iterable[Path], betas: np.ndarray) -> float:
    """log of the probability that a path drawn by `betas` (L, D, 3) stays within the union.

    A network of several paths contains every path that its cells can make, also those that switch
    from one to another; all of them count. So the weight depends on the cells alone, is the path
    weight for one path, and never falls when a path is added.
    """
    cells = union_cells(paths)
    reached = {(0, 0): 1.0}
    for l, s, d in cells:  # ascending layers: a tile is complete before it is read
        tile = (l + 1, s + d - 1)
        reached[tile] = reached.get(tile, 0.0) + reached[l, s] * float(betas[l, s, d])
    ends = sum(p for (l, _), p in reached.items() if l == cells[-1][0] + 1)
    return float(np.log(ends)) if ends > 0 else -np.inf


def random_path(rng: np.random.Generator, grid: Grid) -> Path:
    """A path drawn uniformly from all legal paths of the grid."""
    b = grid.backward_counts()
    path = [0]
    for l in range(grid.layers):
        near = [s for s in range(path[-1] - 1, path[-1] + 2) if 0 <= s < grid.scales]
        ways = np.array([b[l + 1, s] for s in near], float)
        path.append(near[rng.choice(len(near), p=ways / ways.sum())])
    return tuple(path)


def check_paths(
    paths: Sequence[Sequence[int]] | None, grid: Grid, *, where: str = "genotype"
) -> tuple[Path, ...]:
    """The paths of a genotype as tuples; UserError naming `where` and the first that is illegal."""
    if not paths:
        raise UserError(f"{where}: paths: found none; expected at least one list of scales")
    checked: list[Path] = []
    for number, path in enumerate(paths):
        path = tuple(path)
        fault = _fault(path, grid) or ("is listed twice" if path in checked else None)
        if fault:
            raise UserError(f"{where}: paths[{number}] {fault}; found {list(path)}")
        checked.append(path)
    return tuple(checked)


def _fault(path: Path, grid: Grid) -> str | None:
    """The fault of a path, in words; None if it is legal."""
    if len(path) != grid.layers + 1:
        return f"has {len(path)} scales; a network of {grid.layers} layers needs {grid.layers + 1}"
    outside = [s for s in path if not 0 <= s < grid.scales]
    if outside:
        return f"has the scale {outside[0]}; expected 0 to {grid.scales - 1}"
    if path[0] != 0:
        return f"starts at scale {path[0]}; expected 0"
    for l, (s, t) in enumerate(pairwise(path)):
        if abs(t - s) > 1:
            return f"goes from scale {s} to {t} in layer {l}; a layer changes it by 1 at most"
    if grid.end == "start" and path[-1] != 0:
        return f"ends at scale {path[-1]}; expected 0, where it starts"
    return None


def log_betas(betas: np.ndarray) -> np.ndarray:
    """log β, float64; −∞ where β is 0."""
    betas = np.asarray(betas, np.float64)
    return np.log(betas, out=np.full(betas.shape, -np.inf), where=betas > 0)
