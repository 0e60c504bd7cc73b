"""The two-level space: what can be derived from it, drawn in it, and what it refuses."""

import dataclasses
import itertools
import json

import jax
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.spaces.genotype import Genotype, load_genotype, save_genotype
from jaxnas.spaces.grid import CELL_TYPES, Grid
from jaxnas.spaces.registry import TWO_LEVEL_SPACES

RTDNAS = TWO_LEVEL_SPACES["rtdnas"]
SMALL = dataclasses.replace(RTDNAS, grid=Grid(layers=4, scales=3))
EDGES = ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2))
SKIP, SEP, CONV = "skip_connect", "sep_conv_3x3", "conv_3x3"


def weights(seed):
    rng = np.random.default_rng(seed)
    return {"cells": {cell: rng.random((6, len(RTDNAS.operations))) for cell in CELL_TYPES}}


def best(table, node, count):
    """The best sum over all sets of `count` pairs with different inputs."""
    pairs = [
        (table[row, k], (name, source))
        for row, (at, source) in enumerate(EDGES)
        if at == node
        for k, name in enumerate(RTDNAS.operations)
    ]
    sets = (
        chosen
        for chosen in itertools.combinations(pairs, count)
        if len({source for _, (_, source) in chosen}) == count
    )
    top = max(sets, key=lambda chosen: sum(weight for weight, _ in chosen))
    return tuple(sorted((pick for _, pick in top), key=lambda pick: pick[1]))


@pytest.mark.parametrize("topk", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_a_node_keeps_its_best_pairs(seed, topk):
    space, table = dataclasses.replace(RTDNAS, cell_topk=topk), weights(seed)
    genotype = space.derive(table)
    assert [name for name, _ in genotype.cells] == list(CELL_TYPES)
    for cell in CELL_TYPES:
        want = [best(table["cells"][cell], node, min(topk, node + 1)) for node in range(3)]
        assert genotype.cell(cell) == tuple(want)
    assert genotype.weights is None and genotype.paths is None


def test_ties_go_to_the_first():
    table = {"cells": dict.fromkeys(CELL_TYPES, np.ones((6, 6)))}
    two = ((SKIP, 0), (SKIP, 1))
    assert RTDNAS.derive(table).cell("keep") == (((SKIP, 0),), two, two)


@pytest.mark.parametrize("relaxation", ["joint", "separate"])
@pytest.mark.parametrize("topk", [1, 2])
def test_one_hot_and_derive_are_inverse(relaxation, topk):
    space = dataclasses.replace(SMALL, relaxation=relaxation, cell_topk=topk)
    genotype = space.random_genotype(np.random.default_rng(3), paths=1)
    hot = jax.device_get(space.relax(space.one_hot_alphas(genotype)))
    assert space.derive(hot, paths=genotype.paths) == genotype
    for cell in CELL_TYPES:
        found = {round(float(w), 6) for w in np.unique(hot["cells"][cell])}
        assert found <= {0.0, 0.5, 1.0}
    for layer, (s, t) in enumerate(itertools.pairwise(genotype.paths[0])):
        assert hot["betas"][layer, s, t - s + 1] == 1


@pytest.mark.parametrize("relaxation", ["joint", "separate"])
def test_random_alphas_are_genotypes(relaxation, key):
    space = dataclasses.replace(SMALL, relaxation=relaxation)
    drawn = jax.jit(jax.vmap(space.random_alphas))(jax.random.split(key, 30))
    drawn = jax.device_get(jax.vmap(space.relax)(drawn))
    assert set(np.unique(drawn["betas"])) == {0.0, 1.0}
    paths = space.random_genotype(np.random.default_rng(0), paths=1).paths
    cells = set()
    for i in range(30):
        one = jax.tree.map(lambda a, i=i: a[i], drawn)
        genotype = space.check(space.derive(one, paths=paths))
        again = jax.device_get(space.relax(space.one_hot_alphas(genotype)))["cells"]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), again, one["cells"])
        cells.add(genotype.cells)
    assert len(cells) == 30


def test_initial_alphas_choose_almost_nothing(key):
    for relaxation, names in (("joint", set()), ("separate", {"inputs"})):
        space = dataclasses.replace(RTDNAS, relaxation=relaxation)
        draws = [space.init_alphas(k) for k in jax.random.split(key, 8)]
        alphas = draws[0]
        assert alphas.keys() == {"cells", "betas"} | names
        assert alphas["betas"].shape == (10, 4, 3) and alphas["cells"]["keep"].shape == (6, 6)
        flat = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(draws)])
        assert flat.std() == pytest.approx(1e-3, rel=0.1)
        assert len(np.unique(flat)) > 0.99 * flat.size


def test_random_genotypes_are_legal_distinct_and_a_function_of_the_seed():
    def draw(seed, paths):
        return SMALL.random_genotype(np.random.default_rng(seed), paths=paths)

    everything = draw(0, SMALL.grid.paths)
    assert len(set(everything.paths)) == SMALL.grid.paths
    assert SMALL.check(everything) == everything
    assert draw(1, 2) == draw(1, 2) != draw(2, 2)
    with pytest.raises(ValueError, match=f"1 to {SMALL.grid.paths} paths"):
        draw(0, SMALL.grid.paths + 1)


@pytest.mark.parametrize("grid", [Grid(), Grid(3, 1), Grid(2, 4), Grid(5, 3, "any")])
def test_example_fits(grid):
    space = dataclasses.replace(RTDNAS, grid=grid)
    genotype = space.check(space.example_genotype())
    assert max(map(max, genotype.paths)) == min(grid.scales - 1, grid.layers // 2)


def test_json_round_trip(tmp_path):
    genotype = SMALL.random_genotype(np.random.default_rng(0), paths=2)
    path = save_genotype(tmp_path / "genotype.json", genotype)
    assert load_genotype(path) == genotype and hash(load_genotype(path)) == hash(genotype)
    value = json.loads(path.read_text())
    assert value["space"] == "rtdnas" and list(value["cells"]) == list(CELL_TYPES)
    assert value["paths"] == [list(scales) for scales in genotype.paths]


NODES = [[[SEP, 0]], [[SEP, 0], [SKIP, 1]], [[CONV, 1], [SKIP, 2]]]
PATHS = [[0, 1, 2, 1, 0]]


def value(nodes=NODES, paths=PATHS, **more):
    cells = dict.fromkeys(CELL_TYPES, NODES) | {"contract": nodes}
    return {"space": "rtdnas", "cells": cells, "paths": paths} | more


def test_a_genotype_by_hand_fits(tmp_path):
    path = tmp_path / "g.json"
    path.write_text(json.dumps(value()))
    assert isinstance(SMALL.check(load_genotype(path)), Genotype)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (value(space="csmri_a"), "belongs to space 'csmri_a'"),
        (value(cells={"keep": NODES}), "has cells .'keep'."),
        (value([[[SEP, 1]], *NODES[1:]]), "node 0: input 1 does not exist; expected 0 to 0 .0 is"),
        (value([[["sep_conv_3x4", 0]], *NODES[1:]]), "did you mean 'sep_conv_3x3'"),
        (value([*NODES[:2], [[SEP, 0]]]), "keeps two operations a node, from two different"),
        (value([*NODES[:2], [[SEP, 0], [CONV, 0]]]), "keeps two operations a node, from two"),
        (value(NODES[:2]), "cell 'contract' has 2 nodes; a cell of space 'rtdnas' has 3"),
        (value(paths=None), "paths: found none"),
        (value(paths=[]), "paths: found none"),
        (value(paths=3), "paths: found 3, expected null or a list of lists"),
        (value(paths=[0, 1]), "paths.0.: found 0, expected a list of scales"),
        (value(paths=[[0, "1", 0]]), "paths.0.: found .0, '1', 0., expected a list of scales"),
        (value(paths=[[0, 1.5, 0]]), "paths.0.: .*whole numbers"),
        (value(paths=[*PATHS, [0, 1, 0]]), "paths.1. has 3 scales"),
        (value(paths=[*PATHS, *PATHS]), "paths.1. is listed twice"),
        (value(paths=[[0, 2, 1, 1, 0]]), "from scale 0 to 2"),
        (value(paths=[[0, 1, 1, 1, 1]]), "ends at scale 1"),
    ],
)
def test_bad_genotype_is_explained(found, message, tmp_path):
    path = tmp_path / "g.json"
    path.write_text(json.dumps(found))
    with pytest.raises(UserError, match=message) as caught:
        SMALL.check(load_genotype(path), where=str(path))
    assert str(path) in str(caught.value)
