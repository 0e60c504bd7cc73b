"""Random draws: named streams of keys, and the first variables of a module.

Every draw of a run is a pure function of (seed, name, step). A module's variables are drawn without
running it: only what they are made of is computed.
"""

import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.interpreters.partial_eval import dce_jaxpr

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


def draw_variables(key: jax.Array, init: Callable[..., Any], *shapes: Any) -> Any:
    """`init(key, *zeros)` for zeros of the shapes and dtypes of the arrays in `shapes`.

    A module's `init` runs it to find its parameters. Here it is traced, and of what it does only
    the operations that lead to a result are run. They run one after the other, not as a program:
    draws of equal shape then share a compiled one, where a whole program of draws takes XLA five
    times as long to compile as they take one by one.
    """
    traced, result = jax.make_jaxpr(init, return_shape=True)(key, *shapes)
    zeros = [jnp.zeros(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(shapes)]
    leaves = jaxpr_as_fun(_needed(traced))(key, *zeros)
    return jax.tree.unflatten(jax.tree.structure(result), leaves)


def _needed(traced: ClosedJaxpr) -> ClosedJaxpr:
    """The same function without the operations that no result depends on, in loops as well."""
    jaxpr, _ = dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars), instantiate=True)
    return traced.replace(jaxpr=jaxpr)
