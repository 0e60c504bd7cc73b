"""The pool of a selection: within the budget, a third of it random, the same for the same seed."""

import math
from dataclasses import replace

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.models.costing import network_cost
from jaxnas.reconstruction.candidates import UnrolledCandidates
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.search.pool import NEIGHBOUR, RANDOM, SEARCHED, draw_pool, fits
from jaxnas.search.section import BudgetConfig, SelectConfig
from jaxnas.spaces.arrangement import arrangements, rearranged
from jaxnas.spaces.derive import kept_of
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.supernet import derived_network, fit_genotype, space_of

SIZE = (16, 16)
CHOICES = {"cascades": [1, 2, 3], "cells": [1, 2], "channels": [2, 4]}


def source(space="unrolled", searched=0):
    config = ReconstructionConfig(network={"space": space, "nodes": 2, "channels": 4, "cells": 1})
    made, rng = UnrolledCandidates(config, SIZE), np.random.default_rng(5)
    return replace(made, found=tuple(made.random(rng) for _ in range(searched)))


@pytest.mark.parametrize("space", ["csmri_a", "csmri_b", "fedautomri", "unrolled"])
@pytest.mark.parametrize("searched", [0, 3])
def test_every_candidate_is_within_the_budget_and_once(space, searched):
    most = 1_000_000
    config = SelectConfig(arrangement=CHOICES, budget={"macs": most, "least": 0.2})
    pool = draw_pool(source(space, searched), config, 0)
    assert len(pool) == len({c.genotype for c in pool}) == 12
    network = source(space).config.network
    for candidate in pool:
        assert 0.2 * most <= candidate.cost["macs"] <= most
        fit_genotype(network, candidate.genotype)
    origins = [candidate.origin for candidate in pool]
    assert origins.count(RANDOM) >= 4
    assert (SEARCHED in origins) is (searched > 0)
    assert ("dccnn" in origins) is (space == "unrolled")
    if space == "unrolled" or searched:
        assert NEIGHBOUR in origins


def test_a_pool_is_a_function_of_its_seed():
    config = SelectConfig(arrangement=CHOICES)
    first, again, other = (draw_pool(source(searched=2), config, seed) for seed in (3, 3, 4))
    assert first == again != other


def test_hand_made_ones_come_at_their_dearest_arrangement_first():
    most = 400_000
    config = SelectConfig(arrangement=CHOICES, budget={"macs": most})
    made = source()
    first = next(c for c in draw_pool(made, config, 0) if c.origin == "dccnn")
    every = (rearranged(made.hand_made()["dccnn"], dict(c)) for c in arrangements(CHOICES))
    costs = [made.cost(genotype)["macs"] for genotype in every]
    assert first.cost["macs"] == max(cost for cost in costs if cost <= most) < max(costs)


NETWORKS = [
    {},
    {"cascades": 1, "cells": 1},
    {"cascades": 4, "cells": 4, "shared": True, "lam": 1.0, "learn_lam": True},
]


@pytest.mark.parametrize("space", ["csmri_a", "csmri_b", "fedautomri", "unrolled"])
@pytest.mark.parametrize("values", NETWORKS)
@pytest.mark.parametrize("seed", [0, 1])
def test_costs_are_those_of_the_network(space, values, seed):
    network = NetworkConfig(**{"space": space, "channels": 3, "nodes": 2, "cells": 2} | values)
    made = UnrolledCandidates(ReconstructionConfig(network=network), SIZE)
    genotype = made.random(np.random.default_rng(seed))
    counted = network_cost(derived_network(network, genotype), SIZE)
    assert made.cost(genotype) == {"macs": counted.cost.macs, "params": counted.params}


@pytest.mark.parametrize("name", ["dccnn", "modl", "rdn"])
@pytest.mark.parametrize("bias", [False, True])
def test_costs_of_hand_made_ones(name, bias):
    network = NetworkConfig(space="unrolled", channels=4, nodes=3, cells=2, bias=bias)
    made = UnrolledCandidates(ReconstructionConfig(network=network), SIZE)
    counted = network_cost(derived_network(network, made.hand_made()[name]), SIZE)
    found = made.cost(made.hand_made()[name])
    assert found == {"macs": counted.cost.macs, "params": counted.params}


def test_a_budget_that_nothing_fits_names_the_cheapest():
    config = SelectConfig(arrangement=CHOICES, budget={"macs": 3})
    with pytest.raises(UserError, match="0 fit at most 3 macs") as caught:
        draw_pool(source(), config, 0)
    assert "the cheapest seen has" in str(caught.value)


def test_limits_bind_together():
    budget = BudgetConfig(macs=100, params=10, least=0.5)
    assert fits({"macs": 100, "params": 3}, budget) and fits({"macs": 1, "params": 9}, budget)
    assert not fits({"macs": 101, "params": 3}, budget)
    assert not fits({"macs": 100, "params": 11}, budget)
    assert not fits({"macs": 30, "params": 3}, budget)
    assert fits({"macs": 10**9, "params": 10**9}, BudgetConfig())


def test_neighbours_have_weights_where_the_network_needs_them():
    network = NetworkConfig(space="fedautomri", nodes=2, channels=2, edges="weighted")
    made = UnrolledCandidates(ReconstructionConfig(network=network), SIZE)
    genotype = made.random(np.random.default_rng(0))
    for other in made.neighbours(genotype):
        fit_genotype(network, other)
    assert {w for node in other.cell_weights("normal") for w in node} == {0.5}


@pytest.mark.parametrize("name", ["csmri_a", "csmri_b", "fedautomri", "unrolled"])
def test_neighbours_are_one_edit_away(name):
    space = SPACES[name].bound(2)
    rng = np.random.default_rng(0)
    shape = (len(space.edges()), len(space.operations))
    genotype = space.derive({cell: rng.random(shape) for cell in space.cells})
    found = space.neighbours(genotype)
    assert found and len({*found}) == len(found) and genotype not in found
    for other in found:
        space.check(other)
        mine, theirs = (
            kept_of(g.cell("normal"), space.operations, inputs=space.inputs)
            for g in (genotype, other)
        )
        assert (mine != theirs).sum() == 2


def test_neighbours_are_all_of_them():
    """Against the enumeration of every genotype of a small space."""
    space = SPACES["unrolled"].bound(2)
    config = ReconstructionConfig(network={"space": "unrolled", "nodes": 2}).network
    real = [name for name in space_of(config).operations if name != "none"]
    genotype = space.example_genotype()
    (first,), (second,) = genotype.cell("normal")
    expected = {((name, 0), second) for name in real} | {
        (first, (name, at)) for name in real for at in (0, 1)
    }
    expected.discard((first, second))
    found = {
        tuple(node[0] for node in other.cell("normal")) for other in space.neighbours(genotype)
    }
    assert found == expected


@pytest.mark.parametrize("name", ["csmri_a", "fedautomri", "unrolled"])
def test_the_number_of_genotypes(name):
    """Against all tables of booleans that the rule keeps, in a cell of two nodes."""
    space = replace(SPACES[name].bound(2), operations=("std_conv_3x3", "sep_conv_3x3", "none"))
    columns = (len(space.edges()), 2)
    tables = np.array([*np.ndindex(*(2,) * math.prod(columns))], bool).reshape(-1, *columns)
    kept = sum(
        np.array_equal(space.rule.keep(np.where(table, 1.0, -np.inf)), table)
        and all(table[[node == n for node, _ in space.edges()]].any() for n in range(2))
        for table in tables
        if table.any()
    )
    most = max(
        table.sum()
        for table in tables
        if np.array_equal(space.rule.keep(np.where(table, 1.0, -np.inf)), table)
    )
    full = sum(
        np.array_equal(space.rule.keep(np.where(table, 1.0, -np.inf)), table)
        and table.sum() == most
        for table in tables
    )
    assert kept >= full == space.count()
