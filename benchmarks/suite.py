"""The suite of this process, `cpu` or `gpu`; told by the environment to all workers."""

import os

VARIABLE = "JAXNAS_BENCHMARK_SUITE"
SUITE = os.environ.get(VARIABLE, "cpu")
PLATFORM = {"cpu": "cpu", "gpu": "cuda"}[SUITE]  # as JAX calls it


def limit_threads(threads: int) -> None:
    """Binds this process, and all it starts, to its first `threads` processors."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0))
