"""The cost of a network: parameters, and operations counted in its traced program.

Tracing is abstract: no array is allocated, nothing is compiled, and the numbers do not depend on
the device. The convention for MACs is fvcore's, which is also that of the literature:
- a convolution: outputs × kernel taps × input channels / groups, padding included;
- a matrix product: outputs × contracted length;
- everything else, Fourier transforms included: 0.
A scan counts its length times, a conditional as its dearest branch, a differentiable function with
its own gradient or batching rule as its forward body. A while loop has no length: ValueError.

Yan et al. (NAS-CSMRI) print as "FLOPs" not twice the MACs but the additions of biases beside them,
`Cost.flops`, for the U-net, DCCNN and MoDL; for RDN and for the networks they searched, the
elements passed through a (leaky) ReLU as well, `Cost.flops_with_activations`.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from jaxnas.core import trees


@dataclass(frozen=True)
class Cost:
    """Operations of one call: multiply-accumulates, additions of a bias, rectified elements."""

    macs: int = 0
    bias_adds: int = 0
    activations: int = 0

    @property
    def flops(self) -> int:
        """MACs and bias additions."""
        return self.macs + self.bias_adds

    @property
    def flops_with_activations(self) -> int:
        """MACs, bias additions and rectified elements."""
        return self.flops + self.activations

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.macs + other.macs,
            self.bias_adds + other.bias_adds,
            self.activations + other.activations,
        )

    def __mul__(self, times: int) -> "Cost":
        return Cost(self.macs * times, self.bias_adds * times, self.activations * times)


def count_params(params: Any) -> int:
    """Number of scalars in a pytree of parameters (arrays or ShapeDtypeStructs)."""
    return trees.count(params)


def count_cost(fn: Callable, *args: Any) -> Cost:
    """The cost of `fn(*args)`; arguments are pytrees of arrays or ShapeDtypeStructs.

    A convolution must be traced as one: call this inside `ops.conv.reference_lowering()`, with a
    function that was not jitted before. ValueError otherwise, and for a while loop.
    """
    return _jaxpr_cost(jax.make_jaxpr(fn)(*args).jaxpr)


def count_macs(fn: Callable, *args: Any) -> int:
    """The multiply-accumulates of `fn(*args)`; see `count_cost`."""
    return count_cost(fn, *args).macs


def _jaxpr_cost(jaxpr: Jaxpr) -> Cost:
    """Sum over the equations of one program; a variable remembers what it was broadcast from."""
    sources: dict[Var, Any] = {}
    cost = Cost()
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "broadcast_in_dim" and not isinstance(eqn.invars[0], Literal):
            sources[eqn.outvars[0]] = _aval(eqn.invars[0])
        cost += _equation_cost(eqn, sources)
    return cost


def _equation_cost(eqn: JaxprEqn, sources: dict[Var, Any]) -> Cost:
    """Cost of one equation, with everything inside it."""
    match eqn.primitive.name:
        case "conv_general_dilated":
            return Cost(macs=_convolution_macs(eqn))
        case "dot_general":
            return Cost(macs=_product_macs(eqn))
        case "add" if any(_is_bias(x, eqn, sources) for x in eqn.invars):
            return Cost(bias_adds=_aval(eqn.outvars[0]).size)
        case "max" if any(isinstance(x, Literal) and x.val == 0 for x in eqn.invars):
            return Cost(activations=_aval(eqn.outvars[0]).size)
        case "jit" if eqn.params["name"] == "leaky_relu":
            return Cost(activations=_aval(eqn.outvars[0]).size)
        case "scan":
            return _jaxpr_cost(eqn.params["jaxpr"].jaxpr) * eqn.params["length"]
        case "cond":
            branches = [_jaxpr_cost(branch.jaxpr) for branch in eqn.params["branches"]]
            return max(branches, key=lambda cost: cost.macs)
        case "custom_linear_solve":
            return _jaxpr_cost(eqn.params["jaxprs"].solve.jaxpr)
        case "while":
            raise ValueError(
                "cannot count a while loop: its number of turns is unknown when tracing; "
                "use a loop of fixed length"
            )
        case name if "conv2d" in name:
            raise ValueError(
                f"cannot count the lowered convolution {name!r}: trace the function, not yet "
                "jitted, inside ops.conv.reference_lowering()"
            )
    return sum((_jaxpr_cost(inner) for inner in _inner_programs(eqn)), start=Cost())


def _inner_programs(eqn: JaxprEqn) -> Iterator[Jaxpr]:
    """The programs that a call-like equation (jit, remat, custom_vjp, ...) runs once."""
    for value in eqn.params.values():
        if isinstance(value, ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, Jaxpr):
            yield value


def _aval(x: Var | Literal) -> Any:
    """Shape and dtype of an array in a program: jax has a wider type for what it may be."""
    return x.aval


def _convolution_macs(eqn: JaxprEqn) -> int:
    """Each output needs a tap per kernel element of its channel; dilated zeros are skipped."""
    kernel, out = _aval(eqn.invars[1]), _aval(eqn.outvars[0])
    features = kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
    return out.size * kernel.size // features // math.prod(eqn.params["lhs_dilation"])


def _product_macs(eqn: JaxprEqn) -> int:
    """Each output is an inner product over the contracted axes."""
    (contracted, _), _ = eqn.params["dimension_numbers"]
    left = _aval(eqn.invars[0])
    return _aval(eqn.outvars[0]).size * math.prod(left.shape[axis] for axis in contracted)


def _is_bias(x: Var | Literal, eqn: JaxprEqn, sources: dict[Var, Any]) -> bool:
    """True if `x` is a real vector over the channels (the last axis) added to a larger array."""
    out = _aval(eqn.outvars[0])
    aval = _aval(x) if isinstance(x, Literal) else sources.get(x, _aval(x))
    return (
        out.ndim > 1
        and jnp.issubdtype(out.dtype, jnp.floating)
        and aval.ndim >= 1
        and aval.size == aval.shape[-1] == out.shape[-1] < out.size
    )
