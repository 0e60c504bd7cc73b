"""The supernets: a bilevel step of NAS-CSMRI, forward and backward of FedAutoMRI.

One denoiser without data consistency, 3 nodes, 128², batch 1, float32. `supernet/csmri_a`: 32
channels, 3 cells; the gradient of the alphas on one image, Adam, then that of the weights on
another, Adam. `supernet/fedautomri`: 16 channels, 2 cells; the gradients of weights and alphas.
What is compared are the gradients. Ours is the plan `auto`, chosen by the rates of this device.
"""

import dataclasses
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.rows import Row, memory_row, time_row
from benchmarks.suite import SUITE
from benchmarks.timing import Program, compare, serve

W_RATE, A_RATE = 1e-3, 3e-3
TOLERANCE = {"cpu": 2e-3, "gpu": 3e-2}[SUITE]  # TF32 there, in both
TORCH = ("torch_channels_last", "torch_nchw", "torch_compile")


@dataclasses.dataclass(frozen=True)
class Setting:
    """A supernet and its run: `bilevel` is a whole search step, else one gradient."""

    space: str
    channels: int
    cells: int
    bilevel: bool
    nodes: int = 3
    size: int = 128


SETTINGS = {
    "csmri_a": Setting("csmri_a", channels=32, cells=3, bilevel=True),
    "fedautomri": Setting("fedautomri", channels=16, cells=2, bilevel=False),
}


def make_network(setting: Setting, *, plan: Any = "stack"):
    """The denoiser by a plan, and its loss (params, alphas, x, y)."""
    import jax
    import jax.numpy as jnp

    from jaxnas.spaces.denoiser import Denoiser
    from jaxnas.spaces.registry import SPACES

    space = SPACES[setting.space].bound(setting.nodes)
    net = Denoiser(space, channels=setting.channels, cells=setting.cells, plan=plan)

    def loss(params, alphas, x, y):
        weights = {"normal": jax.nn.softmax(alphas, axis=-1)}
        return jnp.mean((net.apply({"params": params}, x, weights) - y) ** 2)

    return net, loss


def make_problem(path: Path, setting: Setting) -> None:
    """Writes weights, alphas and images."""
    import jax
    import jax.numpy as jnp

    from benchmarks.ours import draw_weights

    net, _ = make_network(setting)
    rng, edges = np.random.default_rng(1), setting.nodes * (setting.nodes + 3) // 2
    x = jax.ShapeDtypeStruct((1, setting.size, setting.size, 2), jnp.float32)
    weights = {"normal": jax.ShapeDtypeStruct((edges, len(net.space.operations)), jnp.float32)}
    shapes = jax.eval_shape(net.init, jax.random.key(0), x, weights)["params"]
    arrays = {f"params/{name}": w for name, w in draw_weights(shapes).items()}
    halves = [f"{name}_{half}" for half in ("train", "valid") for name in "xy"]
    arrays |= {name: rng.normal(size=x.shape).astype(np.float32) for name in halves}
    arrays["alphas"] = 0.3 * rng.normal(size=weights["normal"].shape).astype(np.float32)
    facts = dataclasses.asdict(setting) | {"operations": net.space.operations}
    np.savez(path, setting=json.dumps(facts), **arrays)


def prepare(program: str, problem: dict[str, np.ndarray]):
    """Our program."""
    from jaxnas.core.runtime import keep_freed_memory

    keep_freed_memory()
    import jax
    import optax

    from benchmarks.ours import flat, prepare_function, prepare_step, rates_for_plans, unflat

    facts = json.loads(str(problem["setting"]))
    del facts["operations"]
    plan, tuning_s = rates_for_plans()
    _, loss = make_network(Setting(**facts), plan=plan)
    params, alphas = unflat(problem, "params/"), jax.numpy.asarray(problem["alphas"])
    images = [jax.numpy.asarray(problem[n]) for n in ("x_train", "y_train", "x_valid", "y_valid")]

    def named(gradients):
        return flat(gradients[0]) | {"alphas": gradients[1]}

    if not facts["bilevel"]:
        gradient = jax.grad(loss, (0, 1))
        arguments = (params, alphas, *images[:2])
        return prepare_function(gradient, arguments, named, tuning_s=tuning_s)
    a_tx, w_tx = optax.adam(A_RATE), optax.adam(W_RATE)

    def step(state, x_train, y_train, x_valid, y_valid):
        params, alphas, w_opt, a_opt = state
        gradient = jax.grad(loss, 1)(params, alphas, x_valid, y_valid)
        update, a_opt = a_tx.update(gradient, a_opt)
        alphas = optax.apply_updates(alphas, update)
        gradient = jax.grad(loss, 0)(params, alphas, x_train, y_train)
        update, w_opt = w_tx.update(gradient, w_opt)
        return optax.apply_updates(params, update), alphas, w_opt, a_opt

    def gradients(state):
        # Adam's first moment after one step is a tenth of the gradient.
        return named(jax.tree.map(lambda m: 10 * m, (state[2][0].mu, state[3][0].mu)))

    state = (params, alphas, w_tx.init(params), a_tx.init(alphas))
    return prepare_step(step, state, tuple(images), gradients, tuning_s=tuning_s)


def measure(space: str, folder: Path) -> Iterator[Row]:
    """The time and the memory of one supernet."""
    problem = folder / "problem.npz"
    make_problem(problem, SETTINGS[space])
    peers = [Program(name, "benchmarks.peers.torch_supernet", "torch") for name in TORCH]
    outcome = compare(
        [Program("jaxnas", "benchmarks.bench_supernet"), *peers], problem, tolerance=TOLERANCE
    )
    yield time_row(f"supernet/{space}", outcome)
    yield memory_row(f"memory/{space}", outcome)


CASES = tuple(
    Case((f"supernet/{space}", f"memory/{space}"), partial(measure, space)) for space in SETTINGS
)

if __name__ == "__main__":
    serve(prepare)
