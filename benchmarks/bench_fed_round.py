"""One federated round: every backend against the best per-client loops, ours and PyTorch's.

Two workloads on the denoiser of space `fedautomri`, batch 1, float32, equal weights: a FedAvg round
that trains a derived network (Adam), and a MiLeNAS round that searches (Eq. 6, alpha first). Every
program starts from the same weights, sees the same images and must end in the same parameters
before its time counts. Ratios are against `bare`: one jitted, donated step called client by client
and step by step, then one jitted average.

    python -m benchmarks.bench_fed_round                       # 4 and 16 clients, both workloads
    python -m benchmarks.bench_fed_round --programs vmap flower bare   # needs jaxnas[flower]
    python -m benchmarks.bench_fed_round --scaling             # time and memory, 4 to 64 clients
"""

import argparse
import dataclasses
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import RESULTS, compare, limit_threads, report, serve, start

PROGRAMS = ("vmap", "map", "loop", "torch", "flower", "bare")
PEERS = {"torch": "torch", "flower": "flwr"}  # the package that each needs
WORKLOADS = ("train", "search")
RATES = {"weights": 1e-3, "alphas": 3e-3}
# After a round, relative to the largest change of any parameter. Adam divides a gradient by its own
# size, so that rounding in gradients near zero is seen in full.
TOLERANCE = 2e-2


def make_problem(path: Path, setting: dict[str, Any]) -> None:
    """Writes weights, images and what one round makes of them, by the bare loop."""
    import jax
    from flax.traverse_util import flatten_dict

    net, _ = make_network(setting)
    shape = (setting["clients"], setting["steps"], 1, setting["size"], setting["size"], 2)
    names = ("x_train", "y_train", "x_valid", "y_valid")
    keys = jax.random.split(jax.random.key(0), len(names))
    images = {n: np.asarray(jax.random.normal(k, shape)) for n, k in zip(names, keys)}
    alphas = 0.3 * jax.random.normal(jax.random.key(1), (9, 8))
    context = (edge_weights(alphas),) if setting["workload"] == "search" else ()
    params = net.init(jax.random.key(2), images["x_train"][0, 0], *context)["params"]
    arrays = {f"params/{n}": p for n, p in flatten_dict(params, sep="/").items()}
    arrays |= images | {"alphas": alphas, "setting": json.dumps(setting)}
    problem = {n: np.asarray(a) for n, a in arrays.items()}
    run, result, _ = bare(problem)
    run()
    arrays |= {f"after/{n}": p for n, p in flatten_dict(result(), sep="/").items()}
    np.savez(path, **{n: np.asarray(a) for n, a in arrays.items()})


def edge_weights(alphas):
    """The softmaxed weights of the only kind of cell."""
    import jax

    return {"normal": jax.nn.softmax(alphas, axis=-1)}


def make_network(setting: dict[str, Any]):
    """The denoiser, and its loss(params, alphas, batch) with a batch {x, y}."""
    import jax.numpy as jnp

    from jaxnas.spaces.denoiser import Denoiser
    from jaxnas.spaces.registry import SPACES

    space, searching = SPACES["fedautomri"], setting["workload"] == "search"
    summed = dataclasses.replace(space.example_genotype(3), weights=None)
    net = Denoiser(
        space,
        channels=setting["channels"],
        cells=setting["cells"],
        nodes=3,
        plan="dense",
        genotype=None if searching else summed,
    )

    def loss(params, alphas, batch):
        context = (edge_weights(alphas),) if searching else ()
        y = net.apply({"params": params}, batch["x"], *context)
        return jnp.mean((y - batch["y"]) ** 2)

    return net, loss


def make_program(setting: dict[str, Any]):
    """What a client does, as `jaxnas.fed` runs it."""
    import optax

    from jaxnas.fed.program import search_program, training_program
    from jaxnas.search.milenas import make_milenas_step

    _, loss = make_network(setting)
    w_tx, a_tx = (optax.adam(RATES[name]) for name in ("weights", "alphas"))
    if setting["workload"] == "train":
        return training_program(lambda params, batch, key: (loss(params, None, batch), {}), w_tx)
    step = make_milenas_step(
        lambda params, alphas, batch, key: loss(params, alphas, batch),
        w_tx,
        a_tx,
        w_train=1.0,
        w_val=1.0,
        update="alpha_first",
    )
    return search_program(step, w_tx, a_tx)


def initial_model(problem: dict[str, np.ndarray], setting: dict[str, Any]) -> dict[str, Any]:
    """The model that every client begins with."""
    import jax.numpy as jnp
    from flax.traverse_util import unflatten_dict

    leaves = {n.removeprefix("params/"): v for n, v in problem.items() if n.startswith("params/")}
    model = {"params": unflatten_dict({n: jnp.asarray(v) for n, v in leaves.items()}, sep="/")}
    if setting["workload"] == "search":
        model["alphas"] = jnp.asarray(problem["alphas"])
    return model


class Rounds:
    """The same local batches in every round."""

    def __init__(self, problem: dict[str, np.ndarray], setting: dict[str, Any]):
        self.problem, self.workload = problem, setting["workload"]
        self.number = 0
        self.steps = np.full(setting["clients"], setting["steps"])

    def batch(self, client: int, step: int) -> dict[str, Any]:
        """A client's batch, with both halves in a search."""
        client %= len(self.problem["x_train"])
        halves = {
            half: {name: self.problem[f"{name}_{half}"][client, step] for name in "xy"}
            for half in ("train", "valid")
        }
        return halves if self.workload == "search" else halves["train"]


def federated(problem: dict[str, np.ndarray], backend: str):
    """A round of `jaxnas.fed`; optimisers start afresh in every round."""
    import jax

    from jaxnas.core.federated_schema import FedAvg
    from jaxnas.core.schema import FederatedConfig
    from jaxnas.fed.rounds import Federation
    from jaxnas.fed.strategies import build_strategy

    setting = json.loads(str(problem["setting"]))
    names = tuple(f"client{n}" for n in range(setting["clients"]))
    federation = Federation(
        make_program(setting),
        build_strategy(FedAvg(strategy="fedavg")),
        names=names,
        weights=np.ones(len(names)),
        config=FederatedConfig(
            clients=tuple({"name": name} for name in names),
            local_steps=setting["steps"],
            backend=backend,
            chunk=setting.get("chunk"),
            optimizer="reset",
        ),
        seed=0,
    )
    data = Rounds(problem, setting)
    state = federation.init(jax.random.key(0), initial_model(problem, setting))

    def run():
        nonlocal state
        state, _ = federation(state, data)
        jax.block_until_ready(state)
        data.number += 1

    return run, lambda: state.server, {"version": jax.__version__}


def bare(problem: dict[str, np.ndarray]):
    """The best per-client loop: one compiled step, donated states, batches on the device before."""
    import jax
    import jax.numpy as jnp

    setting = json.loads(str(problem["setting"]))
    program, data = make_program(setting), Rounds(problem, setting)
    clients, steps = range(setting["clients"]), range(setting["steps"])
    batches = [[jax.device_put(data.batch(c, k)) for k in steps] for c in clients]
    begin = jax.jit(lambda model: program.begin(model, None, jax.random.key(0), jnp.int32(0)))
    step = jax.jit(lambda state, batch: program.step(state, batch, {})[0], donate_argnums=0)
    average = jax.jit(lambda models: jax.tree.map(lambda *x: sum(x) / len(x), *models))
    model = initial_model(problem, setting)

    def run():
        nonlocal model
        models = []
        for own in batches:
            state = begin(jax.tree.map(jnp.copy, model))
            for batch in own:
                state = step(state, batch)
            models.append(program.model(state))
        model = jax.block_until_ready(average(models))

    return run, lambda: model, {"version": jax.__version__}


def prepare(program: str, problem: dict[str, np.ndarray]):
    """One round of a program, compiled, and how far its first result is from the problem's."""
    from jaxnas.core.allocator import keep_freed_memory

    keep_freed_memory()
    from flax.traverse_util import flatten_dict

    run, result, facts = bare(problem) if program == "bare" else federated(problem, program)
    run()
    if any(name.startswith("after/") for name in problem):
        after = {n: np.asarray(x) for n, x in flatten_dict(result(), sep="/").items()}
        facts["gap"] = round_gap(problem, after)
    return run, facts


def round_gap(problem: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> float:
    """The largest difference to the problem's result, over the largest change in the round."""
    gap = change = 0.0
    for name, found in after.items():
        before = problem["alphas"] if name == "alphas" else problem[name]
        gap = max(gap, float(np.abs(found - problem[f"after/{name}"]).max()))
        change = max(change, float(np.abs(problem[f"after/{name}"] - before).max()))
    return gap / change


def installed() -> list[str]:
    """The programs that can run here."""
    return [p for p in PROGRAMS if p not in PEERS or importlib.util.find_spec(PEERS[p])]


def launch(program: str, problem: Path):
    """Starts one program's process."""
    if program in PEERS:
        return start(program, f"benchmarks.peers.{program}_fed_round", str(problem))
    return start(program, "benchmarks.bench_fed_round", "--worker", program, str(problem))


def compare_rounds(options: argparse.Namespace) -> None:
    """The first table: every program, per workload and number of clients."""
    for workload in options.workloads:
        for clients in options.clients:
            setting = {n: getattr(options, n) for n in ("size", "channels", "cells", "steps")}
            setting |= {"workload": workload, "clients": clients}
            with tempfile.TemporaryDirectory() as folder:
                problem = Path(folder) / "problem.npz"
                make_problem(problem, setting)
                workers = [launch(program, problem) for program in options.programs]
                figures = compare(workers, rounds=options.rounds, warmup=1)
            print(f"\n{workload}, {clients} clients of {setting['steps']} local steps")
            report(f"fed_round_{workload}_{clients}", setting, figures)
            gaps = {name: row["gap"] for name, row in figures.items()}
            if max(gaps.values()) > TOLERANCE:
                sys.exit(f"the programs do not end in the same parameters: {gaps}")


def scale(options: argparse.Namespace) -> None:
    """The second table: seconds and peak memory against the number of clients."""
    rows = []
    for clients in (4, 8, 16, 32, 64):
        setting = {n: getattr(options, n) for n in ("size", "channels", "cells", "steps")}
        setting |= {"workload": "train", "clients": 4, "chunk": options.chunk}
        with tempfile.TemporaryDirectory() as folder:
            problem = Path(folder) / "problem.npz"
            make_problem(problem, setting)
            arrays = dict(np.load(problem))
            # More clients share the images of the first four: only their number changes.
            arrays = {n: a for n, a in arrays.items() if not n.startswith("after/")}
            arrays["setting"] = np.asarray(json.dumps(setting | {"clients": clients}))
            np.savez(problem, **arrays)
            figures = compare([launch(options.backend, problem)], rounds=3, warmup=1)
        row = figures[options.backend]
        rows.append({"clients": clients, "s": row["s"]["median"], "peak_mib": row["peak_mib"]})
        print(f"{clients:3d} clients {row['s']['median']:7.2f} s {row['peak_mib']:6.0f} MiB")
    setting = {"backend": options.backend, "chunk": options.chunk, "steps": options.steps}
    (RESULTS / "fed_scaling.json").write_text(
        json.dumps({"setting": setting, "rows": rows}, indent=2) + "\n"
    )


def main() -> None:
    """Runs the benchmark, or one of its workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=installed())
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--clients", nargs="+", type=int, default=(4, 16))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4, help="local steps of a round")
    parser.add_argument("--threads", type=int, default=2, help="processors for every program")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scaling", action="store_true", help="the second table")
    parser.add_argument("--backend", choices=("vmap", "map", "loop"), default="vmap")
    parser.add_argument("--chunk", type=int, default=4, help="clients at a time, for --scaling")
    parser.add_argument("--worker", nargs=2, metavar=("PROGRAM", "PROBLEM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        program, path = options.worker
        serve(lambda: prepare(program, dict(np.load(path))))
        return
    limit_threads(options.threads)
    scale(options) if options.scaling else compare_rounds(options)


if __name__ == "__main__":
    main()
