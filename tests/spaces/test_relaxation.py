"""The weights of logits against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.spaces.grid import CELL_TYPES, Grid
from jaxnas.spaces.relaxation import RELAXATIONS, relax

GRID = Grid(layers=4, scales=3)
NODES = ((0,), (1, 2), (3, 4, 5))  # the rows of every node


def alphas(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "cells": {cell: rng.normal(size=(6, 4)).astype(np.float32) for cell in CELL_TYPES},
        "inputs": {cell: rng.normal(size=6).astype(np.float32) for cell in CELL_TYPES},
        "betas": rng.normal(size=GRID.mask.shape).astype(np.float32),
    }


def share(logits):
    return np.exp(logits) / np.exp(logits).sum()


def test_joint_is_one_softmax_over_all_pairs_of_a_node():
    logits = alphas()
    weights = relax(logits, GRID.mask)["cells"]
    for cell in CELL_TYPES:
        for rows in map(list, NODES):
            want = share(logits["cells"][cell][rows])
            np.testing.assert_allclose(weights[cell][np.array(rows)], want, rtol=1e-5)


def test_separate_is_inputs_times_operations():
    logits = alphas()
    weights = relax(logits, GRID.mask, relaxation="separate")["cells"]
    for cell in CELL_TYPES:
        for rows in NODES:
            inputs = share(logits["inputs"][cell][list(rows)])
            for row, weight in zip(rows, inputs):
                want = weight * share(logits["cells"][cell][row])
                np.testing.assert_allclose(weights[cell][row], want, rtol=1e-5)


@pytest.mark.parametrize("relaxation", RELAXATIONS)
def test_the_weights_of_a_node_add_up_to_one(relaxation):
    weights = relax(alphas(1), GRID.mask, relaxation=relaxation)["cells"]
    for table in weights.values():
        for rows in NODES:
            assert float(table[np.array(rows)].sum()) == pytest.approx(1, abs=1e-6)


def test_betas_share_a_tile_among_its_live_cells():
    logits = alphas()
    betas = np.asarray(relax(logits, GRID.mask)["betas"])
    for l, s in np.ndindex(*GRID.mask.shape[:2]):
        live = GRID.mask[l, s]
        assert (betas[l, s][~live] == 0).all()
        if live.any():
            np.testing.assert_allclose(betas[l, s][live], share(logits["betas"][l, s][live]), 1e-5)


def test_gradients_are_finite_and_dead_cells_have_none():
    def loss(betas):
        return (relax(alphas() | {"betas": betas}, GRID.mask)["betas"] ** 2).sum()

    gradient = np.asarray(jax.grad(loss)(jnp.asarray(alphas()["betas"])))
    assert np.isfinite(gradient).all()
    assert (gradient[~GRID.mask] == 0).all() and (gradient[GRID.mask] != 0).any()


def test_an_unknown_relaxation_is_refused():
    with pytest.raises(ValueError, match="'joint', 'separate'"):
        relax(alphas(), GRID.mask, relaxation="sigmoid")
