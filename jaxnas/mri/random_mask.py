"""Random Cartesian masks on the device, drawn inside a jitted step from a key.

The same distribution as the kinds `random` and `random_2d` of `masks`, not the same numbers:
training draws a fresh mask for every slice at every step, and its draw must be a pure function of
(seed, step).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.mri import masks


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
    masks.validate(kind, accelerations=accelerations, center_fractions=center_fractions, size=size)
    sampling = masks.MASKS[kind]
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
