"""Derived reconstruction networks as they are deployed: the same function from other kernels.

    deployed(net) applied to deploy_params(net, params)  =  net applied to params

up to rounding. Maps of a cell are joined as `spaces.joins` plans it, weights of picks move into
the kernels, and the two 1×1 convolutions that read a cell's output, one for each of the next two
cells, become one.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.trees import add_up
from jaxnas.ops.candidates import OPERATIONS, draw_kernels, merge_kernels
from jaxnas.ops.conv import Conv, conv2d, uniform_fan_in
from jaxnas.spaces.denoiser import CELL, Denoiser
from jaxnas.spaces.joins import Leaving, Prices, Term, plan_nodes, support, targets
from jaxnas.spaces.unrolled import Unrolled


def deployed(net: nn.Module, *, prices: Prices) -> nn.Module:
    """The deployed form of a derived network, itself for any other; see `deploy_params`."""
    planned = _planned(net, prices)
    if planned is None:
        return net
    denoiser, plan = planned
    return net.clone(
        denoiser=partial(
            DeployedDenoiser,
            plan,
            channels=denoiser.channels,
            cells=denoiser.cells,
            dtype=denoiser.dtype,
        )
    )


def deploy_params(net: nn.Module, params: Any, *, prices: Prices) -> Any:
    """The parameters of `deployed(net)` that make it the function `net` is with `params`.

    Pure, in the dtype of `params`; those of any other than a derived network pass unchanged.
    """
    planned = _planned(net, prices)
    if planned is None:
        return params
    denoiser, plan = planned
    return {
        name: _deploy_denoiser(own, plan, denoiser.cells) if isinstance(own, Mapping) else own
        for name, own in params.items()
    }


class DeployedNodes(nn.Module):
    """The nodes of a cell by a plan."""

    plan: tuple[Leaving, ...]

    @nn.compact
    def __call__(self, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        """Two arrays (B, H, W, C) → one array per node."""
        states = list(inputs)
        arriving: list[list[jax.Array]] = [[] for _ in self.plan[len(inputs) :]]
        for source, leaving in enumerate(self.plan):
            if source >= len(inputs):
                states.append(add_up(arriving[source - len(inputs)]))
            x = states[source]
            for term in leaving.skips:
                arriving[term.node].append(jnp.asarray(term.weight, x.dtype) * x)
            for term in leaving.kept:
                kernels = _TermKernels(term.operation, name=_edge(source, term))(x)
                arriving[term.node].append(OPERATIONS[term.operation].apply(nn.relu(x), kernels))
            for number, join in enumerate(leaving.joins):
                parts = self._join(f"join{source}_{number}", join, nn.relu(x))
                for node, part in zip(targets(join), parts):
                    arriving[node].append(part)
        return tuple(states[len(inputs) :])

    def _join(self, name: str, join: tuple[Term, ...], r: jax.Array) -> list[jax.Array]:
        channels, count = r.shape[-1], len(targets(join))
        shape = (*support(join), channels, count * channels)
        kernel = self.param(name, uniform_fan_in(1.0), shape).astype(r.dtype)
        return jnp.split(conv2d(r, kernel), count, axis=3)


class _TermKernels(nn.Module):
    """Holds the kernels of an operation that is kept."""

    operation: str

    @nn.compact
    def __call__(self, like: jax.Array) -> dict[str, jax.Array]:
        return draw_kernels(self, self.operation, like)


class DeployedDenoiser(nn.Module):
    """`Denoiser` of a genotype by a plan for its cells."""

    plan: tuple[Leaving, ...]
    channels: int
    cells: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, /) -> jax.Array:
        """Returns the de-aliased image, float32 (B, H, W, 2)."""
        before = Conv(self.channels, name="stem0")(x.astype(self.dtype))
        last = Conv(self.channels, name="stem1")(nn.relu(before))
        read_before, read_last = self._read(0, before), self._read(1, last)
        for index in range(self.cells):
            inputs = (read_before[-1], read_last[0])
            nodes = DeployedNodes(self.plan, name=f"cell{index}")(inputs)
            last = jnp.concatenate(nodes, axis=-1)
            read_before, read_last = read_last, self._read(index + 2, last)
        correction = Conv(x.shape[-1], name="tail")(nn.relu(last))
        return x + correction.astype(x.dtype)

    def _read(self, output: int, x: jax.Array) -> list[jax.Array]:
        """The inputs read from output number `output`, for the next cell, then the one after it."""
        readers = len(_readers(output, self.cells))
        if not readers:
            return []
        y = Conv(readers * self.channels, (1, 1), name=f"read{output}")(nn.relu(x))
        return jnp.split(y, readers, axis=3)


def _readers(output: int, cells: int) -> list[tuple[int, str]]:
    """The cells that read output `output`, and as which input.

    Outputs 0 and 1 are those of the stems, 2 + i is that of cell i.
    """
    places = ((output - 1, "pre1"), (output, "pre0"))
    return [(cell, name) for cell, name in places if 0 <= cell < cells]


def _planned(net: nn.Module, prices: Prices) -> tuple[Denoiser, tuple[Leaving, ...]] | None:
    """The denoiser of a derived network with the plan of its cells; None for any other network."""
    denoiser = net.denoiser() if isinstance(net, Unrolled) else None
    if not isinstance(denoiser, Denoiser) or denoiser.genotype is None:
        return None
    picks, weights = denoiser.genotype.cell(CELL), denoiser.genotype.cell_weights(CELL)
    return denoiser, plan_nodes(picks, weights, channels=denoiser.channels, prices=prices)


def _deploy_denoiser(params: Mapping[str, Any], plan: tuple[Leaving, ...], cells: int) -> Any:
    new = {name: params[name] for name in ("stem0", "stem1", "tail")}
    for output in range(cells + 2):
        readers = _readers(output, cells)
        if readers:
            kernels = [params[f"cell{cell}"][name]["conv"]["kernel"] for cell, name in readers]
            new[f"read{output}"] = {"kernel": jnp.concatenate(kernels, axis=3)}
    for index in range(cells):
        new[f"cell{index}"] = _deploy_nodes(params[f"cell{index}"].get("nodes", {}), plan)
    return new


def _deploy_nodes(params: Mapping[str, Any], plan: tuple[Leaving, ...]) -> dict[str, Any]:
    def kernels(source: int, term: Term) -> dict[str, jax.Array]:
        found = params[f"edge{term.node}_{source}"][term.operation]
        return OPERATIONS[term.operation].scale(found, term.weight)

    def dense(source: int, join: tuple[Term, ...]) -> jax.Array:
        height, width = support(join)
        columns = []
        for node in targets(join):
            own = [t for t in join if t.node == node]
            maps = [OPERATIONS[t.operation].dense(kernels(source, t)) for t in own]
            blank = jnp.zeros((height, width, *maps[0].shape[2:]), maps[0].dtype)
            columns.append(merge_kernels([blank, *maps]))
        return jnp.concatenate(columns, axis=3)

    new: dict[str, Any] = {}
    for source, leaving in enumerate(plan):
        new |= {_edge(source, term): kernels(source, term) for term in leaving.kept}
        joins = enumerate(leaving.joins)
        new |= {f"join{source}_{number}": dense(source, join) for number, join in joins}
    return new


def _edge(source: int, term: Term) -> str:
    return f"edge{term.node}_{source}_{term.operation}"
