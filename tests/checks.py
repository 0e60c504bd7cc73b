"""Checks that every linear operator must pass."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.spaces.registry import SPACES


def complex_normal(key, shape):
    """A complex64 array with independent standard normal parts."""
    re, im = jax.random.normal(key, (2, *shape))
    return jax.lax.complex(re, im)


def check_linear(A, x, y, rtol=1e-4, atol=1e-4):
    """A(2x - 3y) == 2 A(x) - 3 A(y)."""
    np.testing.assert_allclose(A(2 * x - 3 * y), 2 * A(x) - 3 * A(y), rtol=rtol, atol=atol)


def check_adjoint(A, AH, x, y, rtol=1e-4):
    """<A x, y> == <x, A^H y>, up to rounding in the norms of both sides."""
    left, right = jnp.vdot(A(x), y), jnp.vdot(x, AH(y))
    scale = jnp.linalg.norm(A(x).ravel()) * jnp.linalg.norm(y.ravel())
    assert abs(left - right) <= rtol * scale, (left, right)


# Spaces of cells of two inputs, as the papers have them: those that a latency model knows.
PAPER_SPACES = tuple(name for name in SPACES if "body" not in SPACES[name].arranged)
