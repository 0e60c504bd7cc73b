"""Batch normalisation folded into the convolution before it, for inference:

γ (k ∗ x − μ) / √(σ² + ε) + β  =  (s k) ∗ x + (β − s μ),   s = γ / √(σ² + ε).
"""

from collections.abc import Mapping
from typing import Any

from jaxnas.ops.norm import FOLDED, STATISTICS, scale_and_shift

# The kernel whose output a layer normalises, by their names within one module: the first there is.
# Others, such as a kernel shared by several normalisations, are left as they are.
BEFORE: dict[str, tuple[tuple[str, ...], ...]] = {
    "norm": (("conv", "kernel"),),
    "norm0": (("pointwise0",), ("kernel0",), ("conv0", "kernel"), ("kernel",)),
    "norm1": (("pointwise1",), ("kernel1",), ("conv1", "kernel"), ("conv", "kernel")),
}


def fold_norms(variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """Variables that give the same function at inference, up to rounding, without `batch_stats`.

    Kernels named in `BEFORE` take up the scale of the normalisation behind them; the collection
    `folded` holds what is left of every normalisation, and `params` nothing of them. Pure. A
    network without statistics passes unchanged.
    """
    if STATISTICS not in variables:
        return variables
    params, folded = _fold(variables["params"], variables[STATISTICS])
    rest = {name: x for name, x in variables.items() if name not in ("params", STATISTICS)}
    return {**rest, "params": params, FOLDED: folded}


def _fold(
    params: Mapping[str, Any], statistics: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    params, folded = dict(params), {}
    for name, own in statistics.items():
        if "mean" not in own:
            params[name], folded[name] = _fold(params.get(name, {}), own)
            continue
        scale, shift = scale_and_shift(params.pop(name, {}), own)
        place = next((path for path in BEFORE.get(name, ()) if _holds(params, path)), None)
        if place is None:
            folded[name] = {"scale": scale, "bias": shift}
        else:
            params, folded[name] = _scaled(params, place, scale), {"bias": shift}
    return params, folded


def _holds(params: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(params, Mapping) or name not in params:
            return False
        params = params[name]
    return not isinstance(params, Mapping)


def _scaled(params: Mapping[str, Any], path: tuple[str, ...], scale: Any) -> dict[str, Any]:
    """`params` with the outputs of the kernel at `path` times `scale` (outputs,)."""
    name, *rest = path
    own = params[name]
    if rest:
        return {**params, name: _scaled(own, tuple(rest), scale)}
    return {**params, name: own * scale.reshape((1,) * (own.ndim - 1) + (-1,))}
