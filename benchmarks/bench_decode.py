"""The time of decoding on the paper's grid: ten layers, four scales, a pool of ten paths.

There is no peer; constrained decoding is timed with a measurement that costs nothing.
"""

import statistics
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.cases import Case
from benchmarks.rows import Row

REPEATS = 9


def programs(seed: int) -> dict[str, Callable[[], object]]:
    """The decoders on random betas and random latencies of cells."""
    from jaxnas.search.constrained import constrained
    from jaxnas.search.decode import best_paths, exhaustive
    from jaxnas.search.genetic import genetic
    from jaxnas.search.latency import serial_latency
    from jaxnas.spaces.grid import Grid

    rng, grid = np.random.default_rng(seed), Grid()
    logits = np.where(grid.mask, rng.normal(size=grid.mask.shape), -np.inf)
    alive = grid.mask.any(-1, keepdims=True)
    odds = np.exp(np.where(alive, logits, 0.0))
    betas = np.where(alive, odds / odds.sum(-1, keepdims=True), 0.0)
    cell_ms = rng.uniform(1.0, 5.0, (3, grid.scales))
    pool = best_paths(betas, grid)
    budget = serial_latency(pool[:3], cell_ms)

    def latency(paths):
        return serial_latency(paths, cell_ms)

    return {
        "k-best": lambda: best_paths(betas, grid),
        "genetic": lambda: genetic(np.random.default_rng(0), pool, 5, latency),
        "exhaustive": lambda: exhaustive(pool, 5, latency),
        "constrained": lambda: constrained(pool, betas, budget, latency, latency),
    }


ROWS = tuple(f"decode/{name}" for name in ("k-best", "genetic", "exhaustive", "constrained"))


def measure(folder: Path) -> Iterator[Row]:
    """Milliseconds of every decoder."""
    for name, run in programs(0).items():
        seconds = statistics.median(timeit.repeat(run, number=1, repeat=REPEATS))
        yield Row(f"decode/{name}", "ms", 1e3 * seconds, note="host only, no peer")


CASES = (Case(ROWS, measure),)
