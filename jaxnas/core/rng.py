"""Named random streams: every draw is a pure function of (seed, name, step)."""

import math
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp

LEAST_DRAWN = 1024  # numbers: drawing fewer takes no less time


def root_key(seed: int) -> jax.Array:
    """The typed key of a run, from its integer seed."""
    return jax.random.key(seed)


def stream(key: jax.Array, name: str, step: jax.Array | int) -> jax.Array:
    """The key for purpose `name` at `step`; independent of every other name and step.

    Nothing is carried from step to step, so a resumed run draws what an unbroken one would.
    """
    return jax.random.fold_in(jax.random.fold_in(key, zlib.crc32(name.encode())), step)


def uniform(key: jax.Array, shape: Sequence[int], bound: float) -> jax.Array:
    """`jax.random.uniform` between -bound and bound, float32, to the bit.

    A power of two of numbers is drawn and the first ones are kept, so that most shapes share one
    compiled draw: the generator takes XLA half a second for every shape.
    """
    size = math.prod(shape)
    drawn = max(LEAST_DRAWN, 1 << (size - 1).bit_length())
    numbers = jax.random.uniform(key, (drawn,), jnp.float32, -bound, bound)
    return numbers[:size].reshape(shape)
