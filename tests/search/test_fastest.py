"""The least latency that a search can reach, and calibrations that cannot guide it there."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.reconstruction.deployment import UnrolledDeployment
from jaxnas.reconstruction.profile import Scan, UnrolledTimes
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.search.calibration import fit_calibration
from jaxnas.search.deployment import latency_objective
from jaxnas.search.latency import (
    LAYER_PROBABILITIES,
    LatencyModel,
    OperationTimes,
    expected_latency,
    least_latency,
)
from jaxnas.segmentation.deployment import GridDeployment
from jaxnas.segmentation.profile import two_level_space
from jaxnas.segmentation.section import SegmentationConfig
from jaxnas.spaces.grid import CELL_TYPES, path_cells
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.space import edge_weights
from tests.checks import PAPER_SPACES
from tests.spaces.grids import all_paths

GOOD = fit_calibration([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
NEGATIVE = replace(GOOD, a=2.0, b=-100.0)
OBJECTIVES = ("stable", "bound", "exp", "add_linear", "mul_log")


def grid_search(objective="bound", probabilities="end_to_end"):
    """ReconstructionConfig, space and times of a grid of three layers."""
    config = SegmentationConfig.model_validate(
        {
            "task": "segmentation",
            "network": {"layers": 3, "scales": 2},
            "latency": {"probabilities": probabilities},
            "search": {"objective": objective},
        }
    )
    space = two_level_space(config)
    rng = np.random.default_rng(0)
    op_ms = np.sort(rng.uniform(0.1, 2.0, (2, len(space.operations)))).astype(np.float32)
    scaling = rng.uniform(0.1, 1.0, (3, 2))
    scaling[0, 0] = scaling[2, -1] = np.nan
    return config, space, OperationTimes(op_ms, scaling, np.float32(0.7))


def unrolled(space="csmri_a", path="serial", objective="bound"):
    """The networks of a space whose operations take different times."""
    config = ReconstructionConfig.model_validate(
        {
            "network": {"space": space, "nodes": 2},
            "latency": {"path": path},
            "search": {"objective": objective},
        }
    )
    count = len(SPACES[space].operations)
    ms = np.random.default_rng(1).uniform(0.1, 1.0, count).astype(np.float32)
    return UnrolledDeployment(config, Scan((16, 16), 1), UnrolledTimes(ms, 3.0, 4))


def logits_of(tree, key, scale):
    keys = jax.random.split(key, len(jax.tree.leaves(tree)))
    leaves, structure = jax.tree.flatten(tree)
    drawn = [scale * jax.random.normal(k, np.shape(x)) for k, x in zip(keys, leaves)]
    return jax.tree.unflatten(structure, drawn)


@pytest.mark.parametrize("layer", LAYER_PROBABILITIES)
@pytest.mark.parametrize("cell", ["longest", "serial"])
def test_no_weights_of_a_grid_are_faster(cell, layer, key):
    _, space, times = grid_search()
    model = LatencyModel(cell=cell, layer=layer)
    edges = space.edges()
    least = least_latency(times, edges, grid=space.grid, model=model)

    @jax.jit
    def latency(weights):
        return expected_latency(weights, times, grid=space.grid, model=model)

    logits = space.init_alphas(key)
    for number, scale in enumerate((1.0, 10.0, 100.0, 100.0)):
        drawn = logits_of(logits, jax.random.fold_in(key, number), scale)
        assert float(latency(space.relax(drawn))) >= least - 1e-4
    # The first operation is the fastest at every scale: all weight on it, and on one path.
    table = np.zeros((len(edges), len(space.operations)))
    table[[source == 0 for _, source in edges], 0] = 1.0
    found = []
    for path in all_paths(space.grid):
        betas = np.zeros(space.grid.mask.shape)
        for cell in path_cells(path):
            betas[cell] = 1.0
        found.append(float(latency({"cells": dict.fromkeys(CELL_TYPES, table), "betas": betas})))
    assert min(found) == pytest.approx(least, rel=1e-5)


@pytest.mark.parametrize("space", PAPER_SPACES)
@pytest.mark.parametrize("path", ["longest", "serial"])
def test_no_weights_of_a_stack_are_faster(space, path, key):
    deployment = unrolled(space, path)
    least = deployment.fastest()
    shape = {"normal": np.zeros((5, len(SPACES[space].operations)))}
    drawn = [logits_of(shape, jax.random.fold_in(key, n), 30.0) for n in range(16)]
    found = [float(deployment.expect(edge_weights(logits))) for logits in drawn]
    assert min(found) >= least - 1e-4
    assert 0 < least < max(found)


def on_grid(objective):
    """The networks of a grid of three layers."""
    return GridDeployment(*grid_search(objective))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("deployed", [on_grid, lambda objective: unrolled(objective=objective)])
def test_a_calibration_that_is_negative_in_reach_is_refused(objective, deployed):
    found = deployed(objective)
    with pytest.raises(UserError, match="the calibrated latency 2 L -100 ms is negative") as said:
        latency_objective(objective, found.config.latency, found, NEGATIVE, where="here.json")
    assert "below L = 50 ms, and the search can reach" in str(said.value)
    latency_objective(objective, found.config.latency, found, GOOD)


@pytest.mark.parametrize("deployed", [on_grid, lambda objective: unrolled(objective=objective)])
def test_a_search_for_accuracy_needs_no_calibration(deployed):
    found = deployed("accuracy")
    latency_objective("accuracy", found.config.latency, found, NEGATIVE)
