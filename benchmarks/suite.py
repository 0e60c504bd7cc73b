"""Which suite this process belongs to: `cpu` or `gpu`; told by the environment to all workers."""

import os

VARIABLE = "JAXNAS_BENCHMARK_SUITE"
SUITE = os.environ.get(VARIABLE, "cpu")
PLATFORM = {"cpu": "cpu", "gpu": "cuda"}[SUITE]  # as JAX calls it


def limit_threads(threads: int) -> None:
    """Binds this process, and all it starts, to its first `threads` processors."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
