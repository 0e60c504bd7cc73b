"""One federated round of four clients, against the best per-client loop and other frameworks.

Two workloads on the denoiser of space `fedautomri`, 8 channels, 1 cell, 64², batch 1, 4 local
steps, float32, equal weights: `train` is a FedAvg round of a derived network (Adam), `search` a
MiLeNAS round (Eq. 6, alpha first). The baseline `bare` is the best loop we can write: one jitted,
donated step called client by client and step by step, then one jitted average. The clients of
Flower and fedjax run our own compiled step, so what they measure is the framework. Compared is the
change of the parameters in the first round.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.rows import Row, time_row
from benchmarks.suite import SUITE
from benchmarks.timing import Prepared, Program, compare, serve

CLIENTS = 4
RATES = {"weights": 1e-3, "alphas": 3e-3}
# Adam divides a gradient by its own size, so that rounding in gradients near zero is seen in full.
TOLERANCE = {"cpu": 2e-2, "gpu": 2e-1}[SUITE]  # TF32 there
HERE = "benchmarks.bench_round"
OURS = (Program("vmap", HERE), Program("map", HERE))
BARE = Program("bare", HERE, baseline=True)
TORCH = Program("torch_channels_last", "benchmarks.peers.torch_round", "torch")
FLOWER = Program("flower", "benchmarks.peers.flower_round", "flwr")
FEDJAX = Program("fedjax", "benchmarks.peers.fedjax_round", "fedjax")


@dataclasses.dataclass(frozen=True)
class Setting:
    """A round: `chunk` clients are computed at a time, None is the backend's choice."""

    workload: str
    clients: int = CLIENTS
    chunk: int | None = None
    size: int = 64
    channels: int = 8
    cells: int = 1
    nodes: int = 3
    steps: int = 4


def read_setting(problem: Mapping[str, np.ndarray]) -> Setting:
    """The setting inside a problem."""
    return Setting(**json.loads(str(problem["setting"])))


def make_problem(path: Path, setting: Setting) -> None:
    """Writes the weights that a round begins with, and four clients' images."""
    import jax
    import jax.numpy as jnp

    from benchmarks.ours import draw_weights

    net, _ = make_network(setting)
    rng, pixels = np.random.default_rng(1), (1, setting.size, setting.size, 2)
    shape = (CLIENTS, setting.steps, *pixels)
    names = ("x_train", "y_train", "x_valid", "y_valid")
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name in names}
    edges = setting.nodes * (setting.nodes + 3) // 2
    alphas = 0.3 * rng.normal(size=(edges, len(net.space.operations))).astype(np.float32)
    context = (edge_weights(alphas),) if setting.workload == "search" else ()
    x = jax.ShapeDtypeStruct(pixels, jnp.float32)
    shapes = jax.eval_shape(net.init, jax.random.key(2), x, *context)["params"]
    arrays |= {f"params/{name}": w for name, w in draw_weights(shapes).items()}
    arrays |= {"alphas": alphas, "operations": np.array(net.space.operations)}
    np.savez(path, setting=json.dumps(dataclasses.asdict(setting)), **arrays)


def edge_weights(alphas: Any) -> dict[str, Any]:
    """The softmaxed weights of the only kind of cell."""
    import jax

    return {"normal": jax.nn.softmax(alphas, axis=-1)}


def make_network(setting: Setting, *, plan: Any = "stack"):
    """The denoiser by a plan, and its loss(params, alphas, batch) with a batch {x, y}."""
    import jax.numpy as jnp

    from jaxnas.spaces.denoiser import Denoiser
    from jaxnas.spaces.registry import SPACES

    space = SPACES["fedautomri"].bound(setting.nodes)
    searching = setting.workload == "search"
    summed = dataclasses.replace(space.example_genotype(), weights=None)
    net = Denoiser(
        space,
        channels=setting.channels,
        cells=setting.cells,
        plan=plan,
        genotype=None if searching else summed,
    )

    def loss(params, alphas, batch):
        context = (edge_weights(alphas),) if searching else ()
        y = net.apply({"params": params}, batch["x"], *context)
        return jnp.mean((y - batch["y"]) ** 2)

    return net, loss


def make_program(setting: Setting):
    """The program of a client, as `jaxnas.fed` runs it."""
    import optax

    from benchmarks.ours import rates_for_plans
    from jaxnas.fed.program import search_program, training_program
    from jaxnas.search.milenas import make_milenas_step

    plan, _ = rates_for_plans() if setting.workload == "search" else ("stack", 0.0)
    _, loss = make_network(setting, plan=plan)
    w_tx, a_tx = (optax.adam(RATES[name]) for name in ("weights", "alphas"))
    if setting.workload == "train":
        return training_program(lambda params, batch, key: (loss(params, None, batch), {}), w_tx)
    make_step = functools.partial(
        make_milenas_step,
        lambda params, alphas, batch, key: loss(params, alphas, batch),
        w_train=1.0,
        w_val=1.0,
        update="alpha_first",
    )
    return search_program(make_step, w_tx, a_tx)


def make_local(setting: Setting) -> tuple[Callable, Callable]:
    """`begin(model)` → state and `step(state, batch)` → state of one client, compiled."""
    import jax
    import jax.numpy as jnp

    program = make_program(setting)
    begin = jax.jit(lambda model: program.begin(model, None, jax.random.key(0), jnp.int32(0)))
    step = jax.jit(lambda state, batch: program.step(state, batch, {}, {})[0], donate_argnums=0)
    return begin, step


def initial_model(problem: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The model that every client begins with."""
    import jax.numpy as jnp

    from benchmarks.ours import unflat

    model = {"params": unflat(problem, "params/")}
    if read_setting(problem).workload == "search":
        model["alphas"] = jnp.asarray(problem["alphas"])
    return model


def change(problem: Mapping[str, np.ndarray], after: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The change of everything in a round as one vector; `after` has the problem's names."""
    moved = [np.ravel(np.asarray(after[name]) - problem[name]) for name in sorted(after)]
    return {"change": np.concatenate(moved)}


def model_change(problem: Mapping[str, np.ndarray], model: Mapping[str, Any]):
    """The change to one of our models."""
    from benchmarks.ours import flat

    after = flat(model["params"], "params/")
    return change(problem, after | {n: x for n, x in model.items() if n == "alphas"})


class Rounds:
    """The same local batches in every round; more than four clients share theirs."""

    def __init__(self, problem: Mapping[str, np.ndarray]):
        setting = read_setting(problem)
        self.problem, self.workload = problem, setting.workload
        self.number = 0
        self.steps = np.full(setting.clients, setting.steps)

    def batch(self, client: int, step: int) -> dict[str, Any]:
        """A client's batch, with both halves in a search."""
        halves = {
            half: {name: self.problem[f"{name}_{half}"][client % CLIENTS, step] for name in "xy"}
            for half in ("train", "valid")
        }
        return halves if self.workload == "search" else halves["train"]


def federated(problem: dict[str, np.ndarray], backend: str):
    """A round of `jaxnas.fed`; optimisers start afresh in every round."""
    import jax

    from jaxnas.fed.rounds import Federation
    from jaxnas.fed.section import FedAvg
    from jaxnas.fed.strategies import build_strategy
    from jaxnas.reconstruction.section import FederatedConfig

    setting = read_setting(problem)
    names = tuple(f"client{n}" for n in range(setting.clients))
    federation = Federation(
        make_program(setting),
        build_strategy(FedAvg(strategy="fedavg")),
        names=names,
        weights=np.ones(len(names)),
        config=FederatedConfig(
            clients=tuple({"name": name} for name in names),
            local_steps=setting.steps,
            backend=backend,
            chunk=setting.chunk,
            optimizer="reset",
        ),
        seed=0,
    )
    data = Rounds(problem)
    state = federation.init(jax.random.key(0), initial_model(problem))

    def run():
        nonlocal state
        state, _ = federation(state, data)
        jax.block_until_ready(state)
        data.number += 1
        return state.server

    return run


def bare(problem: dict[str, np.ndarray]):
    """The best per-client loop: one compiled step, donated states, batches on the device before."""
    import jax
    import jax.numpy as jnp

    setting = read_setting(problem)
    data, (begin, step) = Rounds(problem), make_local(setting)
    clients, steps = range(setting.clients), range(setting.steps)
    batches = [[jax.device_put(data.batch(c, k)) for k in steps] for c in clients]
    average = jax.jit(lambda models: jax.tree.map(lambda *x: sum(x) / len(x), *models))
    program, model = make_program(setting), initial_model(problem)

    def run():
        nonlocal model
        models = []
        for own in batches:
            state = begin(jax.tree.map(jnp.copy, model))
            for batch in own:
                state = step(state, batch)
            models.append(program.model(state))
        model = jax.block_until_ready(average(models))
        return model

    return run


def prepare(name: str, problem: dict[str, np.ndarray]) -> Prepared:
    """Our program of that name."""
    from jaxnas.core.runtime import keep_freed_memory

    keep_freed_memory()
    import jax

    from benchmarks.ours import peak_device_memory

    round_ = bare(problem) if name == BARE.name else federated(problem, name)
    first: dict[str, np.ndarray] = {}

    def run():
        model = round_()
        if not first:
            first.update(model_change(problem, model))

    return Prepared(run, lambda: first, {"version": f"jax {jax.__version__}"}, peak_device_memory)


def measure_search(folder: Path) -> Iterator[Row]:
    """The search round against everybody."""
    make_problem(folder / "problem.npz", Setting("search"))
    programs = [*OURS, BARE, TORCH, FLOWER, FEDJAX]
    outcome = compare(programs, folder / "problem.npz", tolerance=TOLERANCE, budget_s=50)
    yield time_row("round/search", outcome, peers=(BARE.name,))
    yield time_row("round/torch", outcome, peers=(TORCH.name,))
    yield time_row("round/flower", outcome, peers=(FLOWER.name,))
    yield time_row("round/fedjax", outcome, peers=(FEDJAX.name,))


def measure_train(folder: Path) -> Iterator[Row]:
    """The training round against the loops, ours and PyTorch's."""
    make_problem(folder / "problem.npz", Setting("train"))
    outcome = compare([*OURS, BARE, TORCH], folder / "problem.npz", tolerance=TOLERANCE)
    yield time_row("round/train", outcome, peers=(BARE.name,))
    yield time_row("round/train_torch", outcome, peers=(TORCH.name,))


CASES = (
    Case(("round/search", "round/torch", "round/flower", "round/fedjax"), measure_search),
    Case(("round/train", "round/train_torch"), measure_train),
)

if __name__ == "__main__":
    serve(prepare)
