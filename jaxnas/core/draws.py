"""The first variables of a module, without running it: only what they are made of is computed."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.interpreters.partial_eval import dce_jaxpr


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
