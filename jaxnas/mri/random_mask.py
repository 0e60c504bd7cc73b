"""The random Cartesian mask on the device, drawn inside a jitted step from a key.

The same distribution as kind `random` of `masks`, not the same numbers: training draws a fresh
mask for every slice at every step, and its draw must be a pure function of (seed, step).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.mri import masks


def draw_random_mask(
    key: jax.Array,
    shape: tuple[int, ...],
    *,
    columns: int,
    accelerations: Sequence[float],
    center_fractions: Sequence[float],
) -> jax.Array:
    """Draws one mask per item of `shape`: float32 (*shape, 1, columns) of zeros and ones.

    Every item picks one (acceleration R, centre fraction) pair, each equally likely, samples the
    centre of L columns for sure and every other column with p = (N/R - L) / (N - L). Raises
    UserError at trace time as `masks.validate` does.
    """
    chances = jnp.asarray(_chances(columns, tuple(accelerations), tuple(center_fractions)))
    key_choice, key_columns = jax.random.split(key)
    choice = jax.random.randint(key_choice, shape, 0, len(accelerations))
    # Uniform draws lie in [0, 1): a chance of 1 always samples.
    drawn = jax.random.uniform(key_columns, (*shape, columns)) < chances[choice]
    return drawn.astype(jnp.float32)[..., None, :]


def _chances(columns, accelerations, center_fractions):
    """Every column's chance under every pair: float32 (pairs, columns)."""
    masks.validate(
        "random", accelerations=accelerations, center_fractions=center_fractions, columns=columns
    )
    low = [masks.num_low_columns(columns, fraction) for fraction in center_fractions]
    rows = [
        np.where(masks.center(columns, n), 1.0, masks.random_probability(columns, acceleration, n))
        for acceleration, n in zip(accelerations, low)
    ]
    return np.stack(rows).astype(np.float32)
