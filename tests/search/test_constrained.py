from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.search.constrained import NoNetworkFits, constrained
from jaxnas.search.decode import best_paths
from jaxnas.search.latency import serial_latency
from jaxnas.spaces.grid import Grid, union_weight
from tests.spaces.grids import random_betas

GRID = Grid(7, 4)


def world(seed, distort=lambda paths, ms: ms):
    """A pool, a model of its latency, and a device that `distort`s what the model says."""
    ms = np.random.default_rng(seed).uniform(0.2, 2.0, (3, GRID.scales))
    betas = random_betas(seed, GRID)
    pool, measured = best_paths(betas, GRID, count=6), []

    def predict(paths):
        return serial_latency(paths, ms, fixed_ms=1.0)

    def device(paths):
        return distort(paths, predict(paths))

    def measure(paths):
        measured.append(paths)
        return device(paths)

    sets = [c for n in range(1, 7) for c in combinations(pool, n)]
    return SimpleNamespace(
        betas=betas,
        pool=pool,
        predict=predict,
        measure=measure,
        measured=measured,
        device=device,
        fastest=min(device(c) for c in sets),
        slowest=max(device(c) for c in sets),
        best_weight=lambda budget: max(
            (union_weight(c, betas) for c in sets if device(c) <= budget), default=None
        ),
    )


def solve(w, budget, **more):
    return constrained(w.pool, w.betas, budget, w.predict, w.measure, counts=range(1, 7), **more)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("tightness", [0.0, 0.3, 0.7, 1.0])
def test_the_heaviest_that_holds_when_the_model_is_off_by_a_factor(seed, factor, tightness):
    w = world(seed, lambda paths, ms: factor * ms)
    budget = w.fastest + tightness * (w.slowest - w.fastest) + 1e-9
    fit = solve(w, budget)
    assert fit.chosen.measured_ms == w.device(fit.chosen.paths) <= budget
    assert fit.chosen.weight == pytest.approx(w.best_weight(budget))
    assert len(fit.attempts) <= 12 and fit.chosen in fit.attempts


@pytest.mark.parametrize("seed", range(20))
def test_a_wrong_model_never_breaks_the_budget(seed):
    """A device whose time the model guesses by ±40 %, whatever the network."""

    def distort(paths, ms):
        noise = np.random.default_rng([seed, *(s for path in paths for s in path)])
        return ms * noise.uniform(0.6, 1.4)

    w = world(seed, distort)
    budget = 0.5 * (w.fastest + w.slowest)
    fit = solve(w, budget)
    assert w.device(fit.chosen.paths) <= budget
    assert len({a.paths for a in fit.attempts}) == len(fit.attempts) <= 12
    assert len(w.measured) <= 2 * 12


def test_too_optimistic_a_model_is_repaired():
    w = world(0, lambda paths, ms: 2.0 * ms)
    budget = w.fastest + 0.5 * (w.slowest - w.fastest)
    fit = solve(w, budget)
    first, *later = fit.attempts
    assert first.predicted_ms <= budget < first.measured_ms
    assert later and all(2.0 * a.predicted_ms <= budget for a in later)


def test_too_pessimistic_a_model_does_not_waste_the_budget():
    w = world(0, lambda paths, ms: 0.25 * ms)
    fit = solve(w, w.slowest)
    assert fit.chosen.weight == pytest.approx(w.best_weight(w.slowest))
    assert fit.chosen.predicted_ms > w.slowest


def test_what_holds_only_once_does_not_hold():
    w = world(1)
    budget, seen = w.slowest, []

    def flaky(paths):  # the first network is 1 ms slower whenever it is measured again
        seen.append(paths)
        return w.device(paths) if seen.count(paths) < 2 or paths != seen[0] else budget + 1

    fit = constrained(w.pool, w.betas, budget, w.predict, flaky, counts=range(1, 7))
    assert fit.attempts[0].measured_ms == budget + 1
    assert fit.chosen is not fit.attempts[0] and fit.chosen.measured_ms <= budget


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_says_when_no_network_fits(factor):
    w = world(2, lambda paths, ms: factor * ms)
    budget = 0.9 * w.fastest
    with pytest.raises(NoNetworkFits, match=f"budget of {budget:g} ms.*{w.fastest:.3g} ms") as e:
        solve(w, budget)
    assert isinstance(e.value, UserError) and e.value.exit_code == 2
    assert e.value.fastest_ms == w.fastest == w.device(e.value.paths)


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_attempts_are_bounded_and_the_last_is_the_fastest(attempts):
    fastest = world(3).fastest
    w = world(3, lambda paths, ms: ms if ms <= fastest else ms + 100)
    fit = solve(w, 50.0, attempts=attempts)
    assert len(fit.attempts) <= attempts
    assert fit.chosen.measured_ms == fastest


def test_counts_and_arguments():
    w = world(4)
    fit = constrained(w.pool, w.betas, 1e9, w.predict, w.measure, counts=[2, 3])
    assert len(fit.chosen.paths) in (2, 3)
    assert len(constrained(w.pool, w.betas, 1e9, w.predict, w.measure).attempts) == 1
    for counts in ([], [0], [7]):
        with pytest.raises(UserError, match="the pool has 6"):
            constrained(w.pool, w.betas, 1.0, w.predict, w.measure, counts=counts)
    with pytest.raises(ValueError, match="0 attempts"):
        solve(w, 1.0, attempts=0)
    with pytest.raises(ValueError, match="nan ms"):
        solve(w, float("nan"))
