import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.spaces.derive import TWO_INPUTS, TWO_OPERATIONS, cell_edges
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.space import edge_weights

CSMRI = SPACES["csmri_a"]
FEDAUTOMRI = SPACES["fedautomri"]


def weights(seed, nodes, space=CSMRI):
    size = (len(space.bound(nodes).edges()), len(space.operations))
    table = np.random.default_rng(seed).normal(size=size)
    return jax.device_get(edge_weights({"normal": table.astype(np.float32)}))


def best_pair(table, nodes):
    """For every node the best sum over all pairs of (input, operation) with distinct inputs."""
    rows = {edge: row for row, edge in enumerate(cell_edges(nodes))}
    for node in range(nodes):
        pairs = [
            (table[rows[node, source]][k], (name, source))
            for source in range(node + 2)
            for k, name in enumerate(CSMRI.operations)
            if name != "none"
        ]
        two = itertools.combinations(pairs, 2)
        best = max((p for p in two if p[0][1][1] != p[1][1][1]), key=lambda p: p[0][0] + p[1][0])
        yield tuple(sorted((pick for _, pick in best), key=lambda pick: pick[1]))


@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_csmri_keeps_the_best_pair_of_a_node(seed, nodes):
    table = weights(seed, nodes)
    assert CSMRI.derive(table).cell("normal") == tuple(best_pair(table["normal"], nodes))
    assert CSMRI.derive(table).weights is None


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_fedautomri_keeps_the_two_strongest_operations_of_every_edge(seed, nodes):
    table = weights(seed, nodes, FEDAUTOMRI)
    genotype = FEDAUTOMRI.derive(table)
    picks, shares = genotype.cell("normal"), genotype.cell_weights("normal")
    for row, (node, source) in enumerate(cell_edges(nodes)):
        by_name = dict(zip(FEDAUTOMRI.operations, table["normal"][row]))
        first, second = sorted(by_name, key=by_name.get)[:-3:-1]
        own = [(name, w) for (name, s), w in zip(picks[node], shares[node]) if s == source]
        assert {name for name, _ in own} == {first, second}
        total = by_name[first] + by_name[second]
        for name, share in own:
            assert share == pytest.approx(by_name[name] / total, abs=1e-6)
    assert [len(node) for node in picks] == [2 * (node + 2) for node in range(nodes)]


def test_none_is_never_picked():
    table = np.zeros((5, len(CSMRI.operations)))
    table[:, CSMRI.operations.index("none")] = 1.0
    assert "none" not in str(CSMRI.derive({"normal": table}).cells)


def test_ties_go_to_the_first():
    table = np.full((5, len(CSMRI.operations)), 0.2)
    node = (("sep_conv_3x3", 0), ("sep_conv_3x3", 1))
    assert CSMRI.derive({"normal": table}).cell("normal") == (node, node)
    first, second, *_ = FEDAUTOMRI.operations
    genotype = FEDAUTOMRI.derive({"normal": np.full((2, 8), 0.125)})
    assert genotype.cell("normal") == (((first, 0), (second, 0), (first, 1), (second, 1)),)


@pytest.mark.parametrize("limit", [0, 1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_skips_are_limited(seed, limit):
    table = weights(seed, 3)["normal"].copy()
    table[:, CSMRI.operations.index("skip_connect")] += np.linspace(1, 2, len(table))
    free = CSMRI.derive({"normal": table})
    assert str(free).count("skip_connect") == 6
    limited = CSMRI.derive({"normal": table}, max_skips=limit)
    assert str(limited).count("skip_connect") == limit
    for node in limited.cell("normal"):
        assert len({source for _, source in node}) == 2


def test_a_limit_on_skips_means_nothing_where_there_are_none():
    table = weights(0, 2, FEDAUTOMRI)
    assert FEDAUTOMRI.derive(table, max_skips=0) == FEDAUTOMRI.derive(table)


def test_edges_not_of_a_cell():
    with pytest.raises(ValueError, match="4 edges"):
        CSMRI.derive({"normal": np.zeros((4, 5))})


@pytest.mark.parametrize("rule", [TWO_INPUTS, TWO_OPERATIONS])
def test_rules_are_the_same_in_numpy_and_inside_jit(rule):
    strength = np.random.default_rng(3).integers(0, 4, (9, 5)).astype(np.float32)  # many ties
    np.testing.assert_array_equal(jax.jit(rule.keep)(jnp.asarray(strength)), rule.keep(strength))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("nodes", [1, 3])
def test_one_hot_and_derive_are_inverse(space, nodes):
    space = SPACES[space]
    genotype = space.derive(weights(7, nodes, space))
    hot = jax.device_get(edge_weights(space.one_hot_alphas(genotype)))
    np.testing.assert_allclose(hot["normal"].sum(axis=1), 1.0, rtol=1e-6)
    found = space.derive(hot)
    assert found.cells == genotype.cells
    if genotype.weights is None:
        assert set(np.unique(hot["normal"])) == {0.0, 1.0}
    else:
        for node, other in zip(found.cell_weights("normal"), genotype.cell_weights("normal")):
            np.testing.assert_allclose(node, other, atol=3e-6)


def draw(space, key, count):
    """One-hot weights (count, edges, operations) of random genotypes of three nodes."""
    keys = jax.random.split(key, count)
    tables = jax.jit(jax.vmap(lambda k: space.random_alphas(k)["normal"]))(keys)
    return np.asarray(jax.nn.softmax(tables))


@pytest.mark.parametrize("space", SPACES)
def test_random_alphas_are_genotypes(space, key):
    space = SPACES[space]
    for table in draw(space, key, 20):
        genotype = space.check(space.derive({"normal": table}))
        again = edge_weights(space.one_hot_alphas(genotype))["normal"]
        np.testing.assert_allclose(again, table, atol=1e-6)


def test_random_csmri_genotypes_are_uniform(key):
    hot = draw(CSMRI, key, 600)
    assert set(np.unique(hot)) == {0.0, 1.0}
    used = hot[..., :-1]  # without `none`
    # Two picks a node, every operation and (per node) every input equally likely: ±5 sigma.
    assert (used.sum(axis=(1, 2)) == 6).all()
    share = used.sum(axis=(0, 1)) / used.sum()
    np.testing.assert_allclose(share, 1 / 4, atol=5 * np.sqrt(0.25 * 0.75 / used.sum()))
    third = used.sum(axis=2)[:, 5:].mean(axis=0)
    np.testing.assert_allclose(third, 2 / 4, atol=5 * np.sqrt(0.25 / 600))


def test_random_fedautomri_genotypes_are_uniform(key):
    hot = draw(FEDAUTOMRI, key, 600)
    assert set(np.unique(hot)) == {0.0, 0.5}
    # Two of eight operations on every edge, all equally likely, edges independent: ±5 sigma.
    share = (hot > 0).mean(axis=0)
    np.testing.assert_allclose(share, 1 / 4, atol=5 * np.sqrt(0.25 * 0.75 / 600))
    both = ((hot[:, 0] > 0) & (hot[:, 1] > 0)).mean(axis=0)
    np.testing.assert_allclose(both, 1 / 16, atol=5 * np.sqrt(1 / 16 / 600))
