"""The grid of the two-level space: tiles, the cells between them, and the paths through it.

Tile (l, s) is the feature map after l layers at scale s, which has H/2^s rows. Cell (l, s, d)
leads from tile (l, s) to tile (l + 1, s + d − 1): direction 0 expands, 1 keeps, 2 contracts.
Every path starts at tile (0, 0); it is the tuple of its L + 1 scales, one per layer boundary.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

from jaxnas.core.errors import UserError

CELL_TYPES: tuple[str, ...] = ("expand", "keep", "contract")
MOST_LAYERS = 39  # 3^39 paths still fit an int64
GridCell = tuple[int, int, int]  # layer, scale, direction
Path = tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """`layers` layers of cells over `scales` scales.

    Paths `end` at the scale where they start, or at any. ValueError for a size it cannot have.
    """

    layers: int = 10
    scales: int = 4
    end: Literal["start", "any"] = "start"

    def __post_init__(self) -> None:
        if not 1 <= self.layers <= MOST_LAYERS:
            raise ValueError(f"layers is {self.layers}; expected 1 to {MOST_LAYERS}")
        if self.scales < 1:
            raise ValueError(f"scales is {self.scales}; expected at least 1")
        if self.end not in ("start", "any"):
            raise ValueError(f"end is {self.end!r}; expected 'start' or 'any'")

    def forward_counts(self) -> np.ndarray:
        """f, int64 (L + 1, D): how many ways lead from the start to a tile."""
        f = np.zeros((self.layers + 1, self.scales), np.int64)
        f[0, 0] = 1
        for l in range(self.layers):
            f[l + 1] = _neighbours(f[l])
        return f

    def backward_counts(self) -> np.ndarray:
        """b, int64 (L + 1, D): how many ways lead from a tile to an end."""
        b = np.zeros((self.layers + 1, self.scales), np.int64)
        b[-1] = 1 if self.end == "any" else np.arange(self.scales) == 0
        for l in reversed(range(self.layers)):
            b[l] = _neighbours(b[l + 1])
        return b

    def path_counts(self) -> np.ndarray:
        """n, int64 (L, D, 3): the paths through a cell, f[l, s] · b[l + 1, s + d − 1]."""
        arrive, leave = self.forward_counts()[:-1], self.backward_counts()[1:]
        padded = np.pad(leave, ((0, 0), (1, 1)))  # no tile beyond the finest and the coarsest
        after = np.stack([padded[:, d : d + self.scales] for d in range(3)], axis=-1)
        return arrive[..., None] * after

    @property
    def paths(self) -> int:
        """The number of legal paths."""
        return int(self.backward_counts()[0, 0])

    @cached_property
    def mask(self) -> np.ndarray:
        """Live cells, bool (L, D, 3), read-only: reachable from the start and reaching an end."""
        mask = self.path_counts() > 0
        mask.flags.writeable = False
        return mask

    @cached_property
    def cells(self) -> tuple[GridCell, ...]:
        """The live cells (layer, scale, direction), ascending."""
        return tuple((int(l), int(s), int(d)) for l, s, d in np.argwhere(self.mask))


def path_cells(path: Path) -> tuple[GridCell, ...]:
    """The L cells (layer, scale, direction) of a path, in order."""
    return tuple((l, s, t - s + 1) for l, (s, t) in enumerate(pairwise(path)))


def union_cells(paths: Iterable[Path]) -> tuple[GridCell, ...]:
    """The cells of all paths, each once, ascending: what a derived network consists of."""
    return tuple(sorted({cell for path in paths for cell in path_cells(path)}))


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


def _neighbours(counts: np.ndarray) -> np.ndarray:
    """The sum, for every scale, over itself and the scales beside it."""
    total = counts.copy()
    total[1:] += counts[:-1]
    total[:-1] += counts[1:]
    return total
