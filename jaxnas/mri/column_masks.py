"""Masks of whole k-space columns, equal to those of fastMRI for the same generator.

With N columns, L of them in the centre, and named acceleration R:

- random: every other column with probability (N/R - L) / (N - L), so N/R columns on average;
- equispaced: every R-th column from a random offset, in addition to the centre, so the true
  acceleration is below R;
- equispaced_fraction: a spacing stretched so that N/R columns remain with the centre included
  (the public fastMRI brain data);
- magic: offsets on the two halves of k-space that make conjugate symmetry useful, true
  acceleration below R as for equispaced;
- magic_fraction: the same with a spacing stretched so that about N/R columns remain.

Functions draw(rng, center, acceleration) take the centre bool (1, N) and return the columns to
sample besides, bool (1, N).
"""

import numpy as np


def center_columns(size: tuple[int, int], fraction: float) -> np.ndarray:
    """The L = round(W · fraction) central columns, halves to even as Python rounds: bool (1, W)."""
    columns = size[1]
    count = round(columns * fraction)
    start = (columns - count + 1) // 2
    index = np.arange(columns)
    return ((start <= index) & (index < start + count))[None]


def random_chances(center: np.ndarray, acceleration: float) -> np.ndarray:
    """The chance of every column: 1 in the centre, else (N/R - L) / (N - L), float64 (1, N)."""
    columns, low = center.size, int(center.sum())
    return np.where(center, 1.0, (columns / acceleration - low) / (columns - low))


def draw_equispaced(
    rng: np.random.RandomState, center: np.ndarray, acceleration: float
) -> np.ndarray:
    """Every R-th column from a random offset."""
    offset = rng.randint(0, round(acceleration))
    return (np.arange(center.size) % round(acceleration) == offset)[None]


def draw_equispaced_fraction(
    rng: np.random.RandomState, center: np.ndarray, acceleration: float
) -> np.ndarray:
    """Columns at a spacing that is no whole number."""
    columns, low = center.size, int(center.sum())
    # (N - L) / spacing = N/R - L: the centre takes its share of the budget.
    spacing = acceleration * (columns - low) / (columns - low * acceleration)
    offset = rng.randint(0, round(spacing))
    drawn = np.zeros(columns, bool)
    drawn[np.around(np.arange(offset, columns - 1, spacing)).astype(int)] = True
    return drawn[None]


def draw_magic(rng: np.random.RandomState, center: np.ndarray, acceleration: float) -> np.ndarray:
    """Every R-th column of either half."""
    return _magic(rng, center.size, round(acceleration))


def draw_magic_fraction(
    rng: np.random.RandomState, center: np.ndarray, acceleration: float
) -> np.ndarray:
    """The same at the spacing that leaves about N/R columns."""
    columns = center.size
    spacing = round(columns / (round(columns / acceleration) - int(center.sum())))
    return _magic(rng, columns, spacing)


def _magic(rng: np.random.RandomState, columns: int, spacing: int) -> np.ndarray:
    """Every `spacing`-th column of either half, shifted so that mirrored samples never meet."""
    offset = rng.randint(0, spacing)
    even = offset % 2 == 0
    start_positive, start_negative = (offset + 1, offset + 2) if even else (offset + 2, offset - 1)
    positive = np.zeros((columns + 1) // 2, bool)
    negative = np.zeros(columns - len(positive), bool)
    positive[start_positive::spacing] = True
    negative[start_negative::spacing] = True
    # Unshifted order: frequencies 0, 1, ... and then the negative ones, the farthest first.
    return np.fft.fftshift(np.concatenate([positive, negative[::-1]]))[None]
