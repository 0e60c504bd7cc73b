"""The grid of the two-level space: tiles, the cells between them, and how many paths use each.

Tile (l, s) is the feature map after l layers at scale s, which has H/2^s rows. Cell (l, s, d)
leads from tile (l, s) to tile (l + 1, s + d − 1): direction 0 expands, 1 keeps, 2 contracts.
Every path starts at tile (0, 0).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

CELL_TYPES: tuple[str, ...] = ("expand", "keep", "contract")
MOST_LAYERS = 39  # 3^39 paths still fit an int64
GridCell = tuple[int, int, int]  # layer, scale, direction


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


def _neighbours(counts: np.ndarray) -> np.ndarray:
    """The sum, for every scale, over itself and the scales beside it."""
    total = counts.copy()
    total[1:] += counts[:-1]
    total[:-1] += counts[1:]
    return total
