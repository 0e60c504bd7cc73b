from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.search.decode import best_paths, dijkstra, exhaustive
from jaxnas.search.genetic import Evolution, genetic
from jaxnas.search.latency import serial_latency
from jaxnas.spaces.grid import Grid
from tests.spaces.grids import all_paths, path_weight, random_betas

GRID = Grid()
SIZES = (3, 5, 6, 7, 8)
PER_SIZE = 10


def instance(seed, grid=GRID):
    """A pool of the ten best paths of random betas, and the serial latency of random cells."""
    ms = np.random.default_rng(seed).uniform(0.2, 2.0, (3, grid.scales))
    betas = random_betas(seed, grid)
    return SimpleNamespace(
        betas=betas,
        pool=best_paths(betas, grid),
        fitness=lambda paths: serial_latency(paths, ms, fixed_ms=1.0),
    )


@pytest.mark.parametrize("end", ["start", "any"])
@pytest.mark.parametrize("seed", range(5))
def test_best_paths_are_those_of_enumeration(seed, end):
    grid = Grid(7, 4, end)
    betas = random_betas(seed, grid)
    ranked = sorted(all_paths(grid), key=lambda path: (-path_weight(path, betas), path))
    for count in (1, 10, 60):
        assert best_paths(betas, grid, count=count) == tuple(ranked[:count])
    assert set(best_paths(betas, grid, count=10**6)) == set(ranked)


def test_best_paths_of_the_whole_grid():
    betas = random_betas(7, GRID)
    ranked = sorted(all_paths(GRID), key=lambda path: (-path_weight(path, betas), path))
    assert best_paths(betas, GRID) == tuple(ranked[:10])


def test_ties_go_to_the_smaller_tuple():
    grid = Grid(6, 4, "any")
    betas = np.where(grid.mask, 0.25, 0.0)  # powers of two: sums of logs are exact
    assert best_paths(betas, grid) == tuple(sorted(all_paths(grid))[:10])


def test_a_beta_of_zero_comes_last():
    grid = Grid(4, 2)
    betas = random_betas(0, grid)
    betas[1, 0, 1] = 0.0
    found = best_paths(betas, grid, count=100)
    weights = [path_weight(path, betas) for path in found]
    assert set(found) == set(all_paths(grid))
    assert np.isneginf(weights).any() and weights == sorted(weights, reverse=True)


@pytest.mark.parametrize("betas", [np.ones((10, 4)), np.full((10, 4, 3), np.nan)])
def test_betas_that_are_none(betas):
    with pytest.raises(ValueError, match="expected finite numbers"):
        best_paths(betas, GRID)


@pytest.mark.parametrize("method", [dijkstra, exhaustive])
@pytest.mark.parametrize("count", [0, 11])
def test_a_count_that_the_pool_has_not(method, count):
    it = instance(0)
    with pytest.raises(UserError, match=f"network of {count} paths .* pool has 10"):
        method(it.pool, count, it.fitness)


def test_dijkstra_takes_the_heaviest_and_exhaustive_the_fastest():
    it = instance(1)
    heaviest = dijkstra(it.pool, 4, it.fitness)
    assert heaviest.paths == it.pool[:4] and heaviest.latency_ms == it.fitness(it.pool[:4])
    fastest = exhaustive(it.pool, 4, it.fitness)
    all_sets = [it.fitness(paths) for paths in combinations(it.pool, 4)]
    assert fastest.latency_ms == min(all_sets) == it.fitness(fastest.paths)
    assert fastest.latency_ms < heaviest.latency_ms
    assert len(all_sets) == 210


@pytest.mark.parametrize("count", SIZES)
def test_genetic_finds_what_exhaustive_finds(count):
    for seed in range(PER_SIZE):
        it = instance(100 * count + seed)
        best = exhaustive(it.pool, count, it.fitness)
        found = genetic(np.random.default_rng(seed), it.pool, count, it.fitness)
        assert found.latency_ms == best.latency_ms, seed
        assert found.latency_ms == it.fitness(found.paths)


def test_the_best_of_more_paths_is_never_faster():
    it = instance(3)
    best = [exhaustive(it.pool, count, it.fitness).latency_ms for count in range(1, 11)]
    assert best == sorted(best)


def spied(fitness, seen):
    """`fitness` that notes every set it is asked for."""

    def noting(paths):
        seen.append(paths)
        return fitness(paths)

    return noting


@pytest.mark.parametrize("seed", range(10))
def test_evolution_only_improves_and_individuals_are_legal(seed):
    it, seen = instance(seed), []
    small = Evolution(population=4, generations=15)
    found = genetic(
        np.random.default_rng(seed), it.pool, 5, spied(it.fitness, seen), evolution=small
    )
    initial = [it.fitness(paths) for paths in seen[:4]]
    assert found.history[0] == min(initial)
    assert len(found.history) == 16
    assert list(found.history) == sorted(found.history, reverse=True)
    assert found.latency_ms == found.history[-1] <= min(initial)
    assert len(set(seen)) == len(seen)  # nothing is evaluated twice
    for paths in seen:
        ranks = [it.pool.index(path) for path in paths]
        assert len(paths) == 5 and ranks == sorted(set(ranks))  # no duplicates, by weight


def test_deterministic_in_the_seed():
    it = instance(4)
    runs = []
    for seed in (1, 1, 2):
        seen = []
        genetic(np.random.default_rng(seed), it.pool, 6, spied(it.fitness, seen))
        runs.append(seen)
    assert runs[0] == runs[1] != runs[2]


def test_a_population_as_large_as_all_there_is():
    it = instance(5)
    for count in (1, 9, 10):
        found = genetic(np.random.default_rng(0), it.pool, count, it.fitness)
        assert found.latency_ms == exhaustive(it.pool, count, it.fitness).latency_ms
