"""Cartesian sampling masks: a fully sampled centre, and what a kind draws besides.

Kinds of `column_masks` sample whole columns of k-space: a mask is bool (1, W). Those of
`plane_masks` sample single points of it: bool (H, W). One name, one acceleration R and one centre
fraction say the same of all: R is about all samples over the taken ones, and the fraction is the
centre's share of every axis that is undersampled.

`make_mask` draws on the host, once per volume, from the volume's name. Training draws a fresh mask
for every slice at every step, inside the jitted step and as a pure function of (seed, step):
`draw_random_mask` has the distribution of the kinds `random` and `random_2d`, not their numbers.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.mri import column_masks as columns
from jaxnas.mri import plane_masks as plane


class Mask(NamedTuple):
    """The samples taken, how much of them is the centre, and the acceleration's name."""

    samples: np.ndarray  # bool (1, W) or (H, W)
    num_low: int  # columns of (1, W), points of (H, W)
    acceleration: float


class Kind(NamedTuple):
    """A way of sampling.

    Attributes:
      unit: what is sampled or not, "columns" or "points".
      center: center(size, fraction), what is always sampled, bool (1, W) or (H, W).
      draw: draw(rng, center, acceleration), what else is sampled, bool of that shape.
      budget: budget(count, acceleration), how many of `count` are sampled, centre included; None
        where the centre comes on top.
      chances: chances(center, acceleration) float64 of that shape, where each is drawn on its own.
    """

    unit: str
    center: Callable[[tuple[int, int], float], np.ndarray]
    draw: Callable[[np.random.RandomState, np.ndarray, float], np.ndarray]
    budget: Callable[[int, float], float] | None = None
    chances: Callable[[np.ndarray, float], np.ndarray] | None = None


def _by_chance(chances):
    """The `draw` of a kind whose samples are drawn each on its own."""

    def draw(rng, center, acceleration):
        return rng.uniform(size=center.shape) < chances(center, acceleration)

    return draw


def _exact(count, acceleration):
    return count / acceleration


def _rounded(count, acceleration):
    return round(count / acceleration)


_columns = partial(Kind, "columns", columns.center_columns)
_points = partial(Kind, "points", plane.center_ellipse)
MASKS = {
    "random": _columns(_by_chance(columns.random_chances), _exact, columns.random_chances),
    "equispaced": _columns(columns.draw_equispaced),
    "equispaced_fraction": _columns(columns.draw_equispaced_fraction, _exact),
    "magic": _columns(columns.draw_magic),
    "magic_fraction": _columns(columns.draw_magic_fraction, _rounded),
    "random_2d": _points(_by_chance(plane.density_chances), _exact, plane.density_chances),
    "poisson": _points(plane.draw_poisson, _rounded),
}


def make_mask(
    kind: str,
    size: tuple[int, int],
    *,
    accelerations: Sequence[float],
    center_fractions: Sequence[float],
    seed: int | str,
) -> Mask:
    """Draws one mask for k-space of `size` (H, W); the same arguments always give the same mask.

    Acceleration and centre fraction are one pair of the two lists, each equally likely. `seed` is
    an integer or a file name; a name seeds with its characters' codes, so that all slices of a
    volume share a mask. NumPy's global generator is neither used nor changed. Raises UserError as
    `validate` does.

    >>> import jaxnas
    >>> mask = jaxnas.make_mask(
    ...     "equispaced", (64, 64), accelerations=[4], center_fractions=[0.08], seed=0
    ... )
    >>> mask.samples.shape, int(mask.samples.sum())
    ((1, 64), 20)
    """
    validate(kind, accelerations=accelerations, center_fractions=center_fractions, size=size)
    rng = np.random.RandomState(tuple(map(ord, seed)) if isinstance(seed, str) else seed)
    # The choice is drawn even from a list of one: fastMRI's stream of numbers depends on it.
    choice = rng.randint(len(center_fractions))
    acceleration = accelerations[choice]
    center = MASKS[kind].center(size, center_fractions[choice])
    drawn = MASKS[kind].draw(rng, center, acceleration)
    return Mask(drawn | center, int(center.sum()), acceleration)


def mask_shape(kind: str, size: tuple[int, int]) -> tuple[int, int]:
    """The shape of a mask of that kind: (1, W) where whole columns are sampled, else (H, W)."""
    return (1, size[1]) if MASKS[kind].unit == "columns" else size


def validate(
    kind: str,
    *,
    accelerations: Sequence[float],
    center_fractions: Sequence[float],
    size: tuple[int, int] | None = None,
) -> None:
    """Raises UserError for a mask that cannot be drawn; `size` may not be known yet."""
    if kind not in MASKS:
        raise UserError(f"mask kind {kind!r} is unknown; expected one of {', '.join(MASKS)}")
    if not accelerations or len(accelerations) != len(center_fractions):
        raise UserError(
            f"accelerations has {len(accelerations)} values and center_fractions "
            f"{len(center_fractions)}; expected one fraction for every acceleration, at least one"
        )
    for acceleration, fraction in zip(accelerations, center_fractions):
        _validate_numbers(kind, acceleration, fraction)
        if size is not None:
            _validate_size(kind, acceleration, fraction, size)


def draw_random_mask(
    key: jax.Array,
    shape: tuple[int, ...],
    *,
    kind: str,
    size: tuple[int, int],
    accelerations: Sequence[float],
    center_fractions: Sequence[float],
) -> jax.Array:
    """Draws one mask per item of `shape`: float32 (*shape, 1 | H, W) of zeros and ones.

    Every item picks one (acceleration R, centre fraction) pair, each equally likely, and takes
    what is sampled, columns or points, each with the chance that its `kind` gives it under that
    pair. Raises UserError at trace time as `masks.validate` does.
    """
    validate(kind, accelerations=accelerations, center_fractions=center_fractions, size=size)
    sampling = MASKS[kind]
    if sampling.chances is None:
        raise UserError(f"mask kind {kind!r} does not draw its samples each on its own")
    tables = [
        sampling.chances(sampling.center(size, fraction), acceleration)
        for acceleration, fraction in zip(accelerations, center_fractions)
    ]
    chances = jnp.asarray(np.stack(tables), jnp.float32)
    key_choice, key_samples = jax.random.split(key)
    choice = jax.random.randint(key_choice, shape, 0, len(accelerations))
    # Uniform draws lie in [0, 1): a chance of 1 always samples.
    drawn = jax.random.uniform(key_samples, (*shape, *chances.shape[1:])) < chances[choice]
    return drawn.astype(jnp.float32)


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


def _validate_size(kind, acceleration, fraction, size):
    unit, budget_of = MASKS[kind].unit, MASKS[kind].budget
    center = MASKS[kind].center(size, fraction)
    count, low = center.size, int(center.sum())
    if low < 1:
        raise UserError(
            f"center_fraction {fraction} of {count} {unit} rounds to no {unit[:-1]} at all; "
            f"expected one or more, with a larger center fraction or more {unit}"
        )
    if budget_of is None:
        return
    budget = budget_of(count, acceleration)
    if low >= budget:
        raise UserError(
            f"center_fraction {fraction} takes {low} of {count} {unit}, and acceleration "
            f"{acceleration} leaves no more than {budget:g} for a mask of kind {kind!r}; "
            f"lower the center fraction or the acceleration"
        )
