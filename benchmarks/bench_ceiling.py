"""The best that this device can do: a square matrix product, and a pass over memory, in float32.

The matrix is small enough to stay in the caches of a CPU's cores; on a GPU the product uses the
default precision of float32, as the convolutions do. A pass reads and writes 256 MiB.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.cases import Case
from benchmarks.rows import Row, time_row
from benchmarks.suite import SUITE
from benchmarks.timing import Program, compare, serve

SIDE = {"cpu": 1536, "gpu": 8192}[SUITE]
WORDS = {"cpu": 1 << 26, "gpu": 1 << 30}[SUITE]
WORK = {"matmul": (2 * SIDE**3, "GFLOP/s"), "copy": (8 * WORDS, "GB/s")}
SAMPLE = 64  # entries of the result that are compared


def prepare(program: str, problem: dict[str, np.ndarray]):
    """Ours, through XLA."""
    from jaxnas.core.runtime import keep_freed_memory

    keep_freed_memory()
    import jax.numpy as jnp

    from benchmarks.ours import prepare_function

    if str(problem["what"]) == "matmul":
        x = jnp.asarray(problem["x"])
        return prepare_function(lambda x: x @ x, (x,), lambda y: {"y": y[0, :SAMPLE]})
    x = jnp.zeros(WORDS, jnp.float32)
    return prepare_function(lambda x: x + 1, (x,), lambda y: {"y": y[:SAMPLE]})


def measure(what: str, folder: Path) -> Iterator[Row]:
    """One ceiling, by XLA and by PyTorch."""
    x = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    np.savez(folder / "problem.npz", what=what, x=x)
    programs = [
        Program("jaxnas", "benchmarks.bench_ceiling"),
        Program("torch", "benchmarks.peers.torch_ceiling", "torch"),
    ]
    outcome = compare(programs, folder / "problem.npz", tolerance=1e-2, rounds=15, budget_s=10)
    work, unit = WORK[what]
    yield time_row(f"ceiling/{what}", outcome, items=work / 1e9, unit=unit)


CASES = tuple(Case((f"ceiling/{what}",), partial(measure, what)) for what in WORK)

if __name__ == "__main__":
    serve(prepare)
