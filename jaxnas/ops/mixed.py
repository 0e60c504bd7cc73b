"""Mixed edges: the softmax-weighted sum of all candidates, computed in one of three exact ways.

With r = ReLU(x) (or another activation of x) and linear maps L_o, every plan gives
y = w_skip x + Σ_o w_o L_o(r):

  branch   runs every candidate and adds the weighted results, as DARTS is usually written;
  stack    moves w_o into the last kernel of L_o, so the sum is the only work between the maps;
  dense    merges the kernels into one k x k convolution Σ_o w_o embed(L_o), and the edges that
           leave one state into one convolution with their output channels side by side.

A plan only says how: parameters, values and gradients are the same. Given the rates of a device
instead of a plan's name, the cheapest plan is taken for every state (see `ops.plans`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.trees import add_up
from jaxnas.ops.candidates import (
    OPERATIONS,
    SKIP,
    Activation,
    Kernels,
    check_operations,
    draw_kernels,
    merge_kernels,
)
from jaxnas.ops.conv import conv2d
from jaxnas.ops.costs import Rates
from jaxnas.ops.plans import cheapest_plan

EdgeKernels = dict[str, Kernels]

# A candidate enters a mixture with a fraction of its weight in a derived node. Without more
# variance at the start the identity outweighs it, and the search answers "skip" before it learns.
MIXED_GAIN = 4.0


def edges(nodes: int, *, inputs: int = 2) -> list[tuple[int, int]]:
    """The (node, input) pairs of a cell, node by node; node i reads all inputs and nodes before."""
    return [(node, j) for node in range(nodes) for j in range(inputs + node)]


class MixedNodes(nn.Module):
    """All mixed edges of a cell: every node sums its edges from the inputs and earlier nodes.

    Params are `{"edge{node}_{input}": {operation: {kernel name: array}}}`, and `bias{node}` where
    nodes have one.

    Attributes:
      operations: candidate names in the order of the weights.
      nodes: number of nodes.
      plan: `branch`, `stack` or `dense`, or the rates to choose one by.
      dtype: compute dtype; None is that of the inputs.
      activations: what convolutions read inputs through, and nodes.
      use_bias: adds a bias to a node, times the share of convolutions in what it reads.
    """

    operations: tuple[str, ...]
    nodes: int
    plan: str | Rates = "stack"
    dtype: Any = None
    activations: tuple[Activation, Activation] = (nn.relu, nn.relu)
    use_bias: bool = False

    @nn.compact
    def __call__(self, inputs: Sequence[jax.Array], weights: jax.Array) -> tuple[jax.Array, ...]:
        """Computes the nodes.

        Args:
          inputs: states (B, H, W, C) that all nodes can read.
          weights: (E, operations), a row per edge in the order of `edges`.

        Returns:
          The `nodes` new states (B, H, W, C).
        """
        check_operations(self.operations)
        order = edges(self.nodes, inputs=len(inputs))
        if weights.shape != (len(order), len(self.operations)):
            expected = (len(order), len(self.operations))
            raise ValueError(f"expected weights of shape {expected}, found {weights.shape}")
        states = [x.astype(self.dtype or x.dtype) for x in inputs]
        kernels = {
            (i, j): _EdgeKernels(self.operations, name=f"edge{i}_{j}")(states[0]) for i, j in order
        }
        arriving: list[list[jax.Array]] = [[] for _ in range(self.nodes)]
        for source in range(len(inputs) + self.nodes):
            if source >= len(inputs):
                node = source - len(inputs)
                states.append(add_up([*arriving[node], *self._bias(node, order, weights, states)]))
            leaving = [e for e, (_, j) in enumerate(order) if j == source]
            if leaving:
                parts = mix(
                    states[source],
                    [kernels[order[e]] for e in leaving],
                    weights[jnp.array(leaving)],
                    operations=self.operations,
                    plan=self.plan,
                    activation=self.activations[source >= len(inputs)],
                )
                for e, part in zip(leaving, parts):
                    arriving[order[e][0]].append(part)
        return tuple(states[len(inputs) :])

    def _bias(self, node, order, weights, states):
        if not self.use_bias:
            return []
        x = states[0]
        bias = self.param(f"bias{node}", nn.initializers.zeros_init(), x.shape[-1:])
        rows = jnp.array([e for e, (i, _) in enumerate(order) if i == node])
        computes = jnp.array([o in OPERATIONS for o in self.operations], jnp.float32)
        share = (weights[rows].astype(jnp.float32) @ computes).sum()
        return [(share * bias).astype(x.dtype)[None, None, None]]


class _EdgeKernels(nn.Module):
    """Holds the kernels of one edge."""

    operations: tuple[str, ...]

    @nn.compact
    def __call__(self, like: jax.Array) -> EdgeKernels:
        convolutions = [o for o in self.operations if o in OPERATIONS]
        return {o: _OperationKernels(o, name=o)(like) for o in convolutions}


class _OperationKernels(nn.Module):
    """Holds the kernels of one candidate."""

    operation: str

    @nn.compact
    def __call__(self, like: jax.Array) -> Kernels:
        return draw_kernels(self, self.operation, like, gain=MIXED_GAIN)


def mix(
    x: jax.Array,
    kernels: Sequence[EdgeKernels],
    weights: jax.Array,
    *,
    operations: tuple[str, ...],
    plan: str | Rates,
    activation: Activation = nn.relu,
) -> list[jax.Array]:
    """The mixed edges that leave one state.

    Args:
      x: the state (B, H, W, C).
      kernels: per edge and convolutional candidate its kernels, in the dtype of x.
      weights: (edges, operations).
      operations: candidate names in the order of the weights.
      plan: `branch`, `stack` or `dense`, or the rates to choose one by.
      activation: what convolutions read x through.

    Returns:
      Per edge y = w_skip x + Σ_o w_o L_o(activation(x)), (B, H, W, C).

    Raises:
      ValueError: the plan is unknown.
    """
    if isinstance(plan, Rates):
        pixels, channels = x.size // x.shape[-1], x.shape[-1]
        plan = cheapest_plan(
            operations, pixels=pixels, channels=channels, edges=len(kernels), rates=plan
        )
    if plan not in PLANS:
        raise ValueError(f"expected a plan out of {sorted(PLANS)}, found {plan!r}")
    rows = [dict(zip(operations, row)) for row in weights.astype(x.dtype)]
    ys = PLANS[plan](activation(x), kernels, rows)
    return [y + row[SKIP] * x if SKIP in row else y for y, row in zip(ys, rows)]


EdgeWeights = dict[str, jax.Array]


def _branch(
    r: jax.Array, kernels: Sequence[EdgeKernels], weights: Sequence[EdgeWeights]
) -> list[jax.Array]:
    return [
        sum((w[o] * OPERATIONS[o].apply(r, k[o]) for o in k), jnp.zeros_like(r))
        for k, w in zip(kernels, weights)
    ]


def _stack(
    r: jax.Array, kernels: Sequence[EdgeKernels], weights: Sequence[EdgeWeights]
) -> list[jax.Array]:
    return [
        sum((OPERATIONS[o].apply(r, OPERATIONS[o].scale(k[o], w[o])) for o in k), jnp.zeros_like(r))
        for k, w in zip(kernels, weights)
    ]


def _dense(
    r: jax.Array, kernels: Sequence[EdgeKernels], weights: Sequence[EdgeWeights]
) -> list[jax.Array]:
    if not kernels[0]:
        return [jnp.zeros_like(r)] * len(kernels)
    merged = [
        merge_kernels([w[o] * OPERATIONS[o].dense(k[o]) for o in k])
        for k, w in zip(kernels, weights)
    ]
    y = conv2d(r, jnp.concatenate(merged, axis=3))
    return jnp.split(y, len(merged), axis=3)


PLANS: dict[str, Callable[..., list[jax.Array]]] = {
    "branch": _branch,
    "stack": _stack,
    "dense": _dense,
}
