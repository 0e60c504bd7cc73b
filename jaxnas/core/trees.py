"""Small functions on pytrees of arrays."""

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp


def count(tree: Any) -> int:
    """Number of scalars in all arrays of `tree` (arrays or ShapeDtypeStructs)."""
    return sum(int(leaf.size) for leaf in jax.tree.leaves(tree))


def add_up(arrays: Iterable[jax.Array]) -> jax.Array:
    """The sum of one or more arrays, in their order."""
    return reduce(add, arrays)


def all_finite(tree: Any) -> jax.Array:
    """True if every floating or complex leaf of `tree` is finite; a bool scalar."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    checks = [jnp.all(jnp.isfinite(x)) for x in leaves]
    return jnp.stack(checks).all() if checks else jnp.asarray(True)


def global_norm(tree: Any) -> jax.Array:
    """Euclidean norm over all leaves of `tree`; a float32 scalar."""
    squares = [jnp.sum(jnp.square(jnp.abs(x))) for x in jax.tree.leaves(tree)]
    return jnp.sqrt(jnp.stack(squares).sum())
