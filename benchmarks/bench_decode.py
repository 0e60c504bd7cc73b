"""How long decoding takes on the paper's grid: ten layers, four scales, a pool of ten paths.

python -m benchmarks.bench_decode
"""

import statistics
import sys
import timeit
from collections.abc import Callable

import numpy as np

from jaxnas.search.constrained import constrained
from jaxnas.search.decode import best_paths, exhaustive
from jaxnas.search.genetic import genetic
from jaxnas.search.path_latency import serial_latency
from jaxnas.spaces.grid import Grid

REPEATS = 9
LIMITS_S = {"k-best": 0.1, "genetic": 1.0}


def programs(seed: int) -> dict[str, Callable[[], object]]:
    """The decoders on random betas and random latencies of cells."""
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


def main() -> None:
    """Prints the median of every decoder; exit code 1 where a limit is broken."""
    broken = []
    for name, run in programs(0).items():
        seconds = statistics.median(timeit.repeat(run, number=1, repeat=REPEATS))
        limit = LIMITS_S.get(name)
        print(f"{name:12s} {seconds * 1e3:9.3f} ms" + (f"  (limit {limit:g} s)" if limit else ""))
        if limit is not None and seconds > limit:
            broken.append(name)
    sys.exit(f"over the limit: {', '.join(broken)}" if broken else 0)


if __name__ == "__main__":
    main()
