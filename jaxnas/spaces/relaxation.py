"""Logits of the two-level space and the weights they stand for.

A node of a cell mixes (input, operation) pairs, a tile is left through up to three cells:

    joint     p_i[j, o] = softmax over all j < i and o of α_i[j, o]               (RT-DNAS, Eq. 1)
    separate  p_i[j, o] = softmax over j of γ_i[j] · softmax over o of α_i[j, o]  (MS-NAS)
    β[l, s, d]          = softmax over the live cells d that leave tile (l, s)

Either way the p of a node add up to one. Alphas are `{"cells": {type: (edges, operations)},
"betas": (L, D, 3)}`, and with `separate` also `{"inputs": {type: (edges,)}}`; weights have the
form of `joint` alphas whatever the relaxation. The rows of a table are the edges of a cell of one
input, in the order of `cell_edges`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.spaces.derive import cell_edges, node_count

Alphas = Mapping[str, Any]
CellWeights = dict[str, Any]


def relax(alphas: Alphas, mask: np.ndarray, *, relaxation: str = "joint") -> CellWeights:
    """The weights of logits; `mask` bool (L, D, 3) marks the live cells.

    Dead cells get weight 0, also where no cell of a tile lives. ValueError for an unknown
    relaxation.
    """
    if relaxation not in RELAXATIONS:
        raise ValueError(
            f"expected a relaxation out of {sorted(RELAXATIONS)}, found {relaxation!r}"
        )
    return {
        "cells": RELAXATIONS[relaxation](alphas),
        "betas": masked_softmax(alphas["betas"], mask),
    }


def masked_softmax(logits: jax.Array, mask: np.ndarray) -> jax.Array:
    """Softmax over the last axis among the entries in `mask`; 0 elsewhere."""
    # A finite number, because a row of −∞ has a gradient of NaN.
    lowest = jnp.finfo(logits.dtype).min
    shares = jax.nn.softmax(jnp.where(mask, logits, lowest), axis=-1)
    return jnp.where(mask, shares, 0.0)


def _joint(alphas: Alphas) -> dict[str, jax.Array]:
    def table(logits):
        nodes = [jax.nn.softmax(rows, axis=(0, 1)) for rows in _by_node(logits)]
        return jnp.concatenate(nodes)

    return {name: table(logits) for name, logits in alphas["cells"].items()}


def _separate(alphas: Alphas) -> dict[str, jax.Array]:
    def table(logits, inputs):
        shares = jnp.concatenate([jax.nn.softmax(rows) for rows in _by_node(inputs)])
        return shares[:, None] * jax.nn.softmax(logits, axis=-1)

    return {name: table(logits, alphas["inputs"][name]) for name, logits in alphas["cells"].items()}


def _by_node(table: jax.Array) -> list[jax.Array]:
    """The rows of every node."""
    nodes = node_count(len(table), inputs=1)
    first = [row for row, (_, source) in enumerate(cell_edges(nodes, inputs=1)) if source == 0]
    return jnp.split(table, first[1:])


RELAXATIONS: dict[str, Callable[[Alphas], dict[str, jax.Array]]] = {
    "joint": _joint,
    "separate": _separate,
}
