import itertools

import jax
import numpy as np
import pytest

from jaxnas.spaces.csmri import SPACES
from jaxnas.spaces.derive import cell_edges, derive, one_hot_alphas, random_alphas
from jaxnas.spaces.genotype import check_genotype
from jaxnas.spaces.supernet import edge_weights

OPERATIONS = SPACES["csmri_a"].operations


def weights(seed, nodes):
    table = np.random.default_rng(seed).normal(size=(len(cell_edges(nodes)), len(OPERATIONS)))
    return jax.device_get(edge_weights({"normal": table.astype(np.float32)}))


def brute_force(table, nodes):
    """For every node the best sum over all pairs of (input, operation) with distinct inputs."""
    rows = {edge: row for row, edge in enumerate(cell_edges(nodes))}
    for node in range(nodes):
        pairs = [
            (table[rows[node, source]][k], (name, source))
            for source in range(node + 2)
            for k, name in enumerate(OPERATIONS)
            if name != "none"
        ]
        two = itertools.combinations(pairs, 2)
        best = max((p for p in two if p[0][1][1] != p[1][1][1]), key=lambda p: p[0][0] + p[1][0])
        yield tuple(sorted((pick for _, pick in best), key=lambda pick: pick[1]))


@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_derive_is_the_best_pair(seed, nodes):
    table = weights(seed, nodes)
    genotype = derive("csmri_a", table, OPERATIONS)
    assert genotype.cell("normal") == tuple(brute_force(table["normal"], nodes))


def test_none_is_never_picked():
    table = np.zeros((5, len(OPERATIONS)))
    table[:, OPERATIONS.index("none")] = 1.0
    genotype = derive("csmri_a", {"normal": table}, OPERATIONS)
    assert "none" not in str(genotype.cells)


def test_ties_go_to_the_first():
    table = np.full((5, len(OPERATIONS)), 0.2)
    genotype = derive("csmri_a", {"normal": table}, OPERATIONS)
    assert genotype.cell("normal") == ((("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),) * 2


@pytest.mark.parametrize("limit", [0, 1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_skips_are_limited(seed, limit):
    table = weights(seed, 3)["normal"].copy()
    table[:, OPERATIONS.index("skip_connect")] += np.linspace(1, 2, len(table))
    free = derive("csmri_a", {"normal": table}, OPERATIONS)
    assert str(free).count("skip_connect") == 6
    limited = derive("csmri_a", {"normal": table}, OPERATIONS, max_skips=limit)
    assert str(limited).count("skip_connect") == limit
    for node in limited.cell("normal"):
        assert len({source for _, source in node}) == 2


def test_edges_not_of_a_cell():
    with pytest.raises(ValueError, match="4 edges"):
        derive("csmri_a", {"normal": np.zeros((4, 5))}, OPERATIONS)


@pytest.mark.parametrize("nodes", [1, 3])
def test_one_hot_and_derive_are_inverse(nodes):
    genotype = derive("csmri_a", weights(7, nodes), OPERATIONS)
    hot = jax.device_get(edge_weights(one_hot_alphas(genotype, OPERATIONS)))
    assert set(np.unique(hot["normal"])) == {0.0, 1.0}
    assert derive("csmri_a", hot, OPERATIONS) == genotype


def test_random_alphas_are_uniform_genotypes(key):
    keys = jax.random.split(key, 600)
    tables = jax.jit(jax.vmap(lambda k: random_alphas(k, OPERATIONS, nodes=3)))(keys)
    hot = np.asarray(jax.nn.softmax(tables))
    assert set(np.unique(hot)) == {0.0, 1.0}
    used = hot[..., :-1]  # without `none`
    for table in hot[:20]:
        genotype = derive("csmri_a", {"normal": table}, OPERATIONS)
        check_genotype(genotype, space="csmri_a", cells=["normal"], operations=OPERATIONS[:-1])
        assert all(len({source for _, source in node}) == 2 for node in genotype.cell("normal"))
    # Two picks a node, every operation and (per node) every input equally likely: ±5 sigma.
    assert (used.sum(axis=(1, 2)) == 6).all()
    share = used.sum(axis=(0, 1)) / used.sum()
    np.testing.assert_allclose(share, 1 / 4, atol=5 * np.sqrt(0.25 * 0.75 / used.sum()))
    third = used.sum(axis=2)[:, 5:].mean(axis=0)
    np.testing.assert_allclose(third, 2 / 4, atol=5 * np.sqrt(0.25 / 600))
