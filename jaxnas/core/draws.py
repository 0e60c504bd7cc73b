"""The first variables of a module, without running it: only what they are made of is computed."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun


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
    """The same function without the operations that no result depends on."""
    jaxpr, kept = traced.jaxpr, []
    needed = {v for v in jaxpr.outvars if not isinstance(v, Literal)}
    for operation in reversed(jaxpr.eqns):
        if needed.intersection(operation.outvars):
            kept.append(operation)
            needed |= {v for v in operation.invars if not isinstance(v, Literal)}
    return traced.replace(jaxpr=jaxpr.replace(eqns=kept[::-1]))
