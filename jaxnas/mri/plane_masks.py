"""Masks of single points of k-space, in the plane of two phase encodings of a 3-D scan.

With N = H W points, L of them in the centre, and named acceleration R:

- random_2d: every point on its own with a chance that falls from the centre to the edge (the kind
  of MoDL-Brain), N/R points on average;
- poisson: round(N/R) points, spread evenly at random so that none is close to another. As in the
  masks of CC359 the density is the same everywhere outside the centre.

The centre is the ellipse whose diameters are `fraction` of height and width: L is about π/4 f² N.
"""

import functools
import math

import numpy as np

_DENSITY_WIDTH = 0.3  # the width of the density of random_2d: of 0.2 to 0.7 best for TV at 5×


def center_ellipse(size: tuple[int, int], fraction: float) -> np.ndarray:
    """The points around zero frequency at (H // 2, W // 2) that are always taken, bool (H, W)."""
    return _radius2(size) < fraction**2


def density_chances(center: np.ndarray, acceleration: float) -> np.ndarray:
    """The chance of every point, p = min(1, c exp(-r²/2σ²)), and 1 in the centre: float64 (H, W).

    r² = (2 k_y / H)² + (2 k_x / W)² for frequencies k counted from zero, σ is `_DENSITY_WIDTH`,
    and c makes the expected number of points N/R, the centre included. Not to be written to.
    """
    return _density_chances(center.shape, center.tobytes(), acceleration)


def draw_poisson(rng: np.random.RandomState, center: np.ndarray, acceleration: float) -> np.ndarray:
    """Dart throwing with a falling distance (McCool and Fiume 1992): bool (H, W) with the centre.

    Points come in random order, and one is taken if no taken point is nearer than d. Once nothing
    fits any more d goes on to the next smaller distance of a grid, until there are round(N/R)
    points: every drawn point keeps the last d to all others.
    """
    order = rng.permutation(center.size).astype(np.int32).reshape(center.shape)
    taken, budget = center, round(center.size / acceleration)
    for squared in _falling_distances((budget - center.sum()) / (center.size - center.sum())):
        disc = _disc(squared)
        new = _throw(order, ~_largest_near(taken, disc), disc)
        missing = budget - int(taken.sum())
        if new.sum() >= missing:
            return taken | new & (order >= np.sort(order[new])[-missing])
        taken = taken | new
    raise AssertionError("at distance 1 every point fits")


def _throw(order: np.ndarray, free: np.ndarray, disc: np.ndarray) -> np.ndarray:
    """The `free` points that are taken, the highest of the `order` first, until nothing fits.

    A point that comes before all free points of its `disc` is taken whatever happens elsewhere, so
    all such points are taken at once; it takes about log N rounds.
    """
    taken = np.zeros_like(free)
    while free.any():
        waiting = np.where(free, order, -1)
        first = free & (waiting == _largest_near(waiting, disc))
        taken |= first
        free = free & ~_largest_near(first, disc)
    return taken


def _largest_near(values: np.ndarray, disc: np.ndarray) -> np.ndarray:
    """The largest of the non-negative `values` (H, W) at the offsets `disc` of every point."""
    reach, (height, width) = disc.max(), values.shape
    around = np.pad(values, reach)
    largest = values.copy()
    for dy, dx in reach + disc:
        np.maximum(largest, around[dy : dy + height, dx : dx + width], out=largest)
    return largest


def _falling_distances(density: float) -> list[int]:
    """The squared distances of a grid, from the largest that points so dense can keep down to 1."""
    most = max(2 / (math.sqrt(3) * density), 1)  # that of a triangular lattice
    legs = range(math.isqrt(int(most)) + 1)
    found = {a * a + b * b for a in legs for b in legs}
    return sorted((d for d in found if 1 <= d <= most), reverse=True)


def _disc(squared: int) -> np.ndarray:
    """The offsets nearer than the root of `squared`, int (n, 2), zero among them."""
    reach = math.isqrt(squared - 1)
    steps = np.arange(-reach, reach + 1)
    return np.argwhere(steps[:, None] ** 2 + steps**2 < squared) - reach


@functools.lru_cache(maxsize=32)
def _density_chances(shape: tuple[int, int], center: bytes, acceleration: float) -> np.ndarray:
    centre = np.frombuffer(center, bool).reshape(shape)
    density = np.exp(-_radius2(shape) / (2 * _DENSITY_WIDTH**2))
    chances = np.ones(shape)
    chances[~centre] = _scaled(density[~centre], centre.size / acceleration - centre.sum())
    chances.flags.writeable = False
    return chances


def _scaled(density: np.ndarray, total: float) -> np.ndarray:
    """min(1, c density) with the c that makes the sum `total`, which is at most their number."""
    falling = np.sort(density)[::-1]
    rest = np.cumsum(falling[::-1])[::-1]
    # With the k densest at 1 the others share what is left: c = (total - k) / Σ others.
    factors = (total - np.arange(len(falling))) / rest
    fits = factors * falling <= 1
    return np.minimum(1, density * factors[fits.argmax()]) if fits.any() else np.ones_like(density)


def _radius2(size: tuple[int, int]) -> np.ndarray:
    """r² = (2 k_y / H)² + (2 k_x / W)², float64 (H, W): 1 where an edge is nearest."""
    y, x = (2 * (np.arange(n) - n // 2) / n for n in size)
    return y[:, None] ** 2 + x**2
