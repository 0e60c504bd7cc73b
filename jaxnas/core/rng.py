"""Named random streams: every draw is a pure function of (seed, name, step)."""

import zlib

import jax


def root_key(seed: int) -> jax.Array:
    """The typed key of a run, from its integer seed."""
    return jax.random.key(seed)


def stream(key: jax.Array, name: str, step: jax.Array | int) -> jax.Array:
    """The key for purpose `name` at `step`; independent of every other name and step.

    Nothing is carried from step to step, so a resumed run draws what an unbroken one would.
    """
    return jax.random.fold_in(jax.random.fold_in(key, zlib.crc32(name.encode())), step)
