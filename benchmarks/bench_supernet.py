"""One bilevel search step of the NAS-CSMRI supernet against PyTorch.

First order, batch 1: the gradient of the alphas on one image, Adam; the gradient of the weights on
another, Adam. One denoiser of space A without data consistency, float32. Outputs' gradients must
agree before anything is timed. Ratios are ours / PyTorch channels_last, round by round.

    python -m benchmarks.bench_supernet                    # all plans against both layouts
    python -m benchmarks.bench_supernet --programs stack torch_channels_last
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.timing import compare, limit_threads, report, serve, start

PROGRAMS = ("stack", "dense", "branch", "torch_nchw", "torch_channels_last")
GRADIENT_TOLERANCE = 2e-3


def make_problem(path: Path, *, size: int, channels: int, cells: int, nodes: int) -> None:
    """Writes weights, images and the gradients at them by the plain `branch` plan."""
    import jax
    from flax.traverse_util import flatten_dict

    net, loss = make_loss("branch", channels, cells, nodes)
    names = ("x_train", "y_train", "x_valid", "y_valid")
    keys = jax.random.split(jax.random.key(0), len(names))
    images = {n: jax.random.normal(k, (1, size, size, 2)) for n, k in zip(names, keys)}
    alphas = 0.3 * jax.random.normal(jax.random.key(1), (nodes * (nodes + 3) // 2, 5))
    params = net.init(jax.random.key(2), images["x_train"], {"normal": jax.nn.softmax(alphas)})
    params = params["params"]
    gradients = jax.jit(jax.grad(loss, (0, 1)))(
        params, alphas, images["x_train"], images["y_train"]
    )
    arrays = {f"params/{n}": p for n, p in flatten_dict(params, sep="/").items()}
    arrays |= {f"grad/{n}": g for n, g in flatten_dict(gradients[0], sep="/").items()}
    arrays |= images | {"alphas": alphas, "grad_alphas": gradients[1]}
    np.savez(
        path, setting=[channels, cells, nodes], **{n: np.asarray(a) for n, a in arrays.items()}
    )


def make_loss(plan: str, channels: int, cells: int, nodes: int):
    """The denoiser and its loss (params, alphas, x, y)."""
    import jax
    import jax.numpy as jnp

    from jaxnas.spaces.denoiser import Denoiser
    from jaxnas.spaces.registry import SPACES

    net = Denoiser(SPACES["csmri_a"], channels=channels, cells=cells, nodes=nodes, plan=plan)

    def loss(params, alphas, x, y):
        weights = {"normal": jax.nn.softmax(alphas, axis=-1)}
        return jnp.mean((net.apply({"params": params}, x, weights) - y) ** 2)

    return net, loss


def prepare(plan: str, problem: dict[str, np.ndarray]):
    """Our bilevel step, compiled, and how far its gradients are from the problem's."""
    from jaxnas.core.allocator import keep_freed_memory

    keep_freed_memory()
    import time

    import jax
    import jax.numpy as jnp
    import optax
    from flax.traverse_util import unflatten_dict

    _, loss = make_loss(plan, *(int(n) for n in problem["setting"]))

    def tree(prefix):
        leaves = {n.removeprefix(prefix): v for n, v in problem.items() if n.startswith(prefix)}
        return unflatten_dict({n: jnp.asarray(v) for n, v in leaves.items()}, sep="/")

    images = [jnp.asarray(problem[n]) for n in ("x_train", "y_train", "x_valid", "y_valid")]
    a_tx, w_tx = optax.adam(3e-3), optax.adam(1e-3)

    def step(state, x_train, y_train, x_valid, y_valid):
        params, alphas, w_opt, a_opt = state
        gradient = jax.grad(loss, 1)(params, alphas, x_valid, y_valid)
        update, a_opt = a_tx.update(gradient, a_opt)
        alphas = optax.apply_updates(alphas, update)
        gradient = jax.grad(loss, 0)(params, alphas, x_train, y_train)
        update, w_opt = w_tx.update(gradient, w_opt)
        return optax.apply_updates(params, update), alphas, w_opt, a_opt

    params, alphas = tree("params/"), jnp.asarray(problem["alphas"])
    gradients = jax.jit(jax.grad(loss, (0, 1)))(params, alphas, *images[:2])
    expected = (tree("grad/"), jnp.asarray(problem["grad_alphas"]))
    gaps = jax.tree.map(lambda g, e: jnp.abs(g - e).max() / jnp.abs(e).max(), gradients, expected)
    state = (params, alphas, w_tx.init(params), a_tx.init(alphas))
    began = time.perf_counter()
    compiled = jax.jit(step, donate_argnums=0).lower(state, *images).compile()
    facts = {
        "compile_s": time.perf_counter() - began,
        "gradient_gap": float(max(jax.tree.leaves(gaps))),
        "version": jax.__version__,
    }

    def run():
        nonlocal state
        state = jax.block_until_ready(compiled(state, *images))

    return run, facts


def main() -> None:
    """Runs the benchmark, or one of its workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--cells", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="processors for every program")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--worker", nargs=2, metavar=("PLAN", "PROBLEM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        plan, path = options.worker
        serve(lambda: prepare(plan, dict(np.load(path))))
        return
    limit_threads(options.threads)
    setting = {n: getattr(options, n) for n in ("size", "channels", "cells", "nodes")}
    with tempfile.TemporaryDirectory() as folder:
        problem = Path(folder) / "problem.npz"
        make_problem(problem, **setting)
        setting["threads"] = options.threads
        figures = compare([launch(p, problem) for p in options.programs], rounds=options.rounds)
    report("supernet", setting, figures)
    gaps = {name: row["gradient_gap"] for name, row in figures.items()}
    if max(gaps.values()) > GRADIENT_TOLERANCE:
        sys.exit(f"the programs do not compute the same gradients: {gaps}")


def launch(program: str, problem: Path):
    """Starts one program's process."""
    if program.startswith("torch_"):
        layout = program.removeprefix("torch_")
        return start(program, "benchmarks.peers.torch_supernet", layout, str(problem))
    return start(program, "benchmarks.bench_supernet", "--worker", program, str(problem))


if __name__ == "__main__":
    main()
