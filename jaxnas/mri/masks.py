"""Cartesian sampling masks over k-space columns, equal to those of fastMRI for the same seed.

A mask keeps a fully sampled centre of round(W * center_fraction) columns and draws the others by
its kind. With N columns, L of them in the centre, and named acceleration R:

- random: every other column with probability (N/R - L) / (N - L), so N/R columns on average;
- equispaced: every R-th column from a random offset, in addition to the centre, so the true
  acceleration is below R;
- equispaced_fraction: a spacing stretched so that N/R columns remain with the centre included
  (the public fastMRI brain data);
- magic: offsets on the two halves of k-space that make conjugate symmetry useful, true
  acceleration below R as for equispaced;
- magic_fraction: the same with a spacing stretched so that about N/R columns remain.

NumPy only: these masks are drawn on the host, once per volume, from the volume's name. The
training masks of `random_mask` have the statistics of `random` on the device.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError


class Mask(NamedTuple):
    """Which columns are sampled, how many of them are the centre, and the acceleration's name."""

    columns: np.ndarray  # bool (W,)
    num_low: int
    acceleration: float

    @property
    def true_acceleration(self) -> float:
        """All columns over sampled columns."""
        return len(self.columns) / int(self.columns.sum())


def make_mask(
    kind: str,
    columns: int,
    *,
    accelerations: Sequence[float],
    center_fractions: Sequence[float],
    seed: int | str,
) -> Mask:
    """Draws one mask of `columns` columns; the same arguments always give the same mask.

    Acceleration and centre fraction are one pair of the two lists, each equally likely. `seed` is
    an integer or a file name; a name seeds with its characters' codes, so that all slices of a
    volume share a mask. NumPy's global generator is neither used nor changed. Raises UserError as
    `validate` does.
    """
    validate(kind, accelerations=accelerations, center_fractions=center_fractions, columns=columns)
    rng = np.random.RandomState(tuple(map(ord, seed)) if isinstance(seed, str) else seed)
    # The choice is drawn even from a list of one: fastMRI's stream of numbers depends on it.
    choice = rng.randint(len(center_fractions))
    acceleration = accelerations[choice]
    num_low = num_low_columns(columns, center_fractions[choice])
    drawn = MASKS[kind](rng, columns, acceleration, num_low)
    return Mask(drawn | center(columns, num_low), num_low, acceleration)


def num_low_columns(columns: int, center_fraction: float) -> int:
    """L = round(columns * center_fraction), halves to even as Python rounds."""
    return round(columns * center_fraction)


def center(columns: int, num_low: int) -> np.ndarray:
    """The `num_low` central columns: bool (columns,)."""
    start = (columns - num_low + 1) // 2
    index = np.arange(columns)
    return (start <= index) & (index < start + num_low)


def random_probability(columns: int, acceleration: float, num_low: int) -> float:
    """Chance of a column outside the centre, p = (N/R - L) / (N - L), so that E[count] = N/R."""
    return (columns / acceleration - num_low) / (columns - num_low)


def _random(rng, columns, acceleration, num_low):
    return rng.uniform(size=columns) < random_probability(columns, acceleration, num_low)


def _equispaced(rng, columns, acceleration, num_low):
    del num_low
    offset = rng.randint(0, round(acceleration))
    return np.arange(columns) % round(acceleration) == offset


def _equispaced_fraction(rng, columns, acceleration, num_low):
    # (N - L) / spacing = N/R - L: the centre takes its share of the budget.
    spacing = acceleration * (columns - num_low) / (columns - num_low * acceleration)
    offset = rng.randint(0, round(spacing))
    drawn = np.zeros(columns, bool)
    drawn[np.around(np.arange(offset, columns - 1, spacing)).astype(int)] = True
    return drawn


def _magic(rng, columns, acceleration, num_low):
    del num_low
    return _magic_columns(rng, columns, round(acceleration))


def _magic_fraction(rng, columns, acceleration, num_low):
    target = round(columns / acceleration)
    return _magic_columns(rng, columns, round(columns / (target - num_low)))


def _magic_columns(rng, columns, spacing):
    """Every `spacing`-th column of either half, shifted so that mirrored samples never meet."""
    offset = rng.randint(0, spacing)
    even = offset % 2 == 0
    start_positive, start_negative = (offset + 1, offset + 2) if even else (offset + 2, offset - 1)
    positive = np.zeros((columns + 1) // 2, bool)
    negative = np.zeros(columns - len(positive), bool)
    positive[start_positive::spacing] = True
    negative[start_negative::spacing] = True
    # Unshifted order: frequencies 0, 1, ... and then the negative ones, the farthest first.
    return np.fft.fftshift(np.concatenate([positive, negative[::-1]]))


MASKS = {
    "random": _random,
    "equispaced": _equispaced,
    "equispaced_fraction": _equispaced_fraction,
    "magic": _magic,
    "magic_fraction": _magic_fraction,
}
# Kinds whose number of columns, centre included, is the named N/R.
_BUDGETED = ("random", "equispaced_fraction", "magic_fraction")


def validate(
    kind: str,
    *,
    accelerations: Sequence[float],
    center_fractions: Sequence[float],
    columns: int | None = None,
) -> None:
    """Raises UserError for a mask that cannot be drawn; `columns` may not be known yet."""
    if kind not in MASKS:
        raise UserError(f"mask kind {kind!r} is unknown; expected one of {', '.join(MASKS)}")
    if not accelerations or len(accelerations) != len(center_fractions):
        raise UserError(
            f"accelerations has {len(accelerations)} values and center_fractions "
            f"{len(center_fractions)}; expected one fraction for every acceleration, at least one"
        )
    for acceleration, fraction in zip(accelerations, center_fractions):
        _validate_numbers(kind, acceleration, fraction)
        if columns is not None:
            _validate_columns(kind, acceleration, fraction, columns)


def _validate_numbers(kind, acceleration, fraction):
    if not 1 <= acceleration < float("inf"):
        raise UserError(f"acceleration is {acceleration}; expected a finite number of at least 1")
    if kind in ("equispaced", "magic") and acceleration != round(acceleration):
        raise UserError(
            f"acceleration is {acceleration}; a mask of kind {kind!r} takes every n-th column and "
            f"needs a whole number (or the kind '{kind}_fraction')"
        )
    if not 0 < fraction <= 1:
        raise UserError(f"center_fraction is {fraction}; expected above 0 and at most 1")


def _validate_columns(kind, acceleration, fraction, columns):
    num_low = num_low_columns(columns, fraction)
    if num_low < 1:
        raise UserError(
            f"center_fraction {fraction} of {columns} columns rounds to no column at all; "
            "expected one or more, with a larger center fraction or more columns"
        )
    budget = round(columns / acceleration) if kind == "magic_fraction" else columns / acceleration
    if kind in _BUDGETED and num_low >= budget:
        raise UserError(
            f"center_fraction {fraction} takes {num_low} of {columns} columns, and acceleration "
            f"{acceleration} leaves no more than {budget:g} for a mask of kind {kind!r}; "
            "lower the center fraction or the acceleration"
        )
