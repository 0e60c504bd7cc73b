"""The cost of another candidate in a linear space: 3, 8 and 16 operations on every edge.

Forward and backward of a denoiser as in `supernet/fedautomri` (16 channels, 2 cells, 3 nodes,
128²), plan `auto`. All sets reach 7×7 pixels. The peer of 8 and of 16 is our own program with 3, so
the ratio is what the candidates cost. The sets compute different functions: all that is compared is
that every gradient is finite. (`bench_plans --candidates` asks the same of one state of a cell.)
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.bench_plans import CANDIDATES
from benchmarks.cases import Case
from benchmarks.rows import Row, time_row
from benchmarks.timing import Outcome, Prepared, Program, compare, serve

CHANNELS, CELLS, NODES, SIZE = 16, 2, 3, 128
HERE = "benchmarks.bench_candidates"
PROGRAMS = (Program("8", HERE), Program("16", HERE), Program("3", HERE, baseline=True))


def prepare(name: str, problem: dict[str, np.ndarray]) -> Prepared:
    """The gradients of weights and alphas with that many operations."""
    from jaxnas.core.runtime import keep_freed_memory

    keep_freed_memory()
    import jax
    import jax.numpy as jnp

    from benchmarks.ours import draw_weights, prepare_function, rates_for_plans, unflat
    from jaxnas.spaces.denoiser import Denoiser
    from jaxnas.spaces.registry import SPACES

    operations = CANDIDATES[: int(name)]
    space = dataclasses.replace(SPACES["fedautomri"], operations=operations, nodes=NODES)
    plan, tuning_s = rates_for_plans()
    net = Denoiser(space, channels=CHANNELS, cells=CELLS, plan=plan)
    alphas = jnp.zeros((len(space.edges()), len(space.operations)))
    x = jnp.asarray(problem["x"])

    def loss(params, alphas):
        weights = {"normal": jax.nn.softmax(alphas, axis=-1)}
        return jnp.mean((net.apply({"params": params}, x, weights) - problem["y"]) ** 2)

    shapes = jax.eval_shape(net.init, jax.random.key(0), x, {"normal": alphas})["params"]
    params = unflat(draw_weights(shapes), "")

    def finite(gradients):
        every = [bool(jnp.isfinite(g).all()) for g in jax.tree.leaves(gradients)]
        return {"finite": np.array([all(every)], np.float32)}

    return prepare_function(jax.grad(loss, (0, 1)), (params, alphas), finite, tuning_s=tuning_s)


def measure(folder: Path) -> Iterator[Row]:
    """The time with 8 and 16 operations over that with 3."""
    shape, rng = (1, SIZE, SIZE, 2), np.random.default_rng(1)
    images = {name: rng.normal(size=shape).astype(np.float32) for name in "xy"}
    np.savez(folder / "problem.npz", **images)
    outcome = compare(PROGRAMS, folder / "problem.npz", tolerance=0.0)
    for program in PROGRAMS[:2]:
        others = {n: r for n, r in outcome.records.items() if n in (program.name, "3")}
        yield time_row(f"candidates/{program.name}", Outcome(others, outcome.excuses))


CASES = (Case(("candidates/8", "candidates/16"), measure),)

if __name__ == "__main__":
    serve(prepare)
