"""Training every method of a config across clients: same rounds and batches for all.

What is trained for is a `Task`; who takes part, and with which batches, a `Cohort`.
"""

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from flax import linen as nn

from jaxnas.core import rng
from jaxnas.core.config import AnyConfig
from jaxnas.core.errors import UserError
from jaxnas.core.federated_schema import Method, SearchStrategy
from jaxnas.core.files import read_json, write_json
from jaxnas.core.training_schema import OptimConfig
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.optim import check_schedule, make_optimizer, make_schedule
from jaxnas.engine.rundir import Run
from jaxnas.engine.state import Loss
from jaxnas.engine.training import note_timing
from jaxnas.fed.local import Cohort
from jaxnas.fed.paths import leaf_paths, select
from jaxnas.fed.program import Program, training_program
from jaxnas.fed.rounds import Federation
from jaxnas.fed.state import FedState, Model
from jaxnas.fed.strategies import build_strategy
from jaxnas.fed.strategy import Penalty
from jaxnas.fed.traffic import Traffic, measure_traffic

COMMUNICATION = "communication.json"


class Task(Protocol):
    """What clients train for. Hashable: methods of equal tasks share a compiled program."""

    def init(self, key: jax.Array, net: nn.Module) -> Any:
        """The variables of a network before training."""

    def loss(self, net: nn.Module) -> Loss:
        """loss(params, batch, key) -> (scalar, metrics)."""


Validate = Callable[[FedState], dict[str, float]]
Validation = Callable[[Federation, nn.Module], Validate]


def client_scores(name: str, scores: Mapping[str, float]) -> dict[str, float]:
    """The mean of the scores of all clients under `name`, and each as `<name>/<client>`."""
    mean = float(np.mean([*scores.values()]))
    return {name: mean} | {f"{name}/{client}": score for client, score in scores.items()}


def method_name(method: Method) -> str:
    """What a method is called in a run: `<model>/<label>`."""
    return f"{method.model}/{method.label}"


def check_methods(
    config: AnyConfig, task: Task, nets: Mapping[str, nn.Module], cohort: Cohort
) -> None:
    """Raises UserError for whatever training would stumble over; computes and writes nothing.

    A network that is not among `nets`, because it is still to be found, is not looked into.
    """
    steps = config.federated.rounds * cohort.batches.longest
    check_schedule(config.train.optimizer, steps, key="train.optimizer")
    paths = {name: leaf_paths(abstract_model(task, net)) for name, net in nets.items()}
    for method in config.federated.methods:
        if method.model in nets:
            federation = _across(config, task, method, nets[method.model], cohort)
            federation.strategy.shared.check(paths[method.model])


def train_methods(
    run: Run,
    task: Task,
    nets: Mapping[str, nn.Module],
    cohort: Cohort,
    writer: MetricWriter,
    *,
    validation: Validation | None = None,
) -> None:
    """Trains every method, one after the other; finished ones cost nothing.

    `validation` makes what the loop reports where the config asks for it.
    """
    for method in run.config.federated.methods:
        net = nets[method.model]
        train_method(run, task, method, net, cohort, writer, validation=validation)


def train_method(
    run: Run,
    task: Task,
    method: Method,
    net: nn.Module,
    cohort: Cohort,
    writer: MetricWriter,
    *,
    validation: Validation | None = None,
) -> None:
    """Trains one method and notes its time and its traffic.

    The key of initialisation, data order and draws is the run's: it does not depend on the method.
    """
    config, name, clock = run.config, method_name(method), Clock()
    federation = _across(config, task, method, net, cohort, clock=clock)
    every = Cadence(
        log=config.log_every,
        checkpoint=config.checkpoint_every,
        validate=config.train.validate_every,
    )
    with CheckpointStore(_checkpoints(run, method), keep=2) as store:
        state = run_loop(
            federation,
            _initial_state(config, task, federation, net),
            cohort.batches,
            steps=config.federated.rounds,
            store=store,
            writer=writer,
            stage="train",
            model=name,
            every=every,
            validate=validation(federation, net) if validation and every.validate else None,
            clock=clock,
            quiet=run.quiet,
        )
    note_timing(run.path, f"train {name}", clock.summary())
    note_communication(run.path, name, federation, int(state.round))


@dataclass(frozen=True)
class TrainedMethod:
    """A method whose training is finished."""

    federation: Federation
    state: FedState

    def params(self, client: int) -> Any:
        """The parameters that a client uses, by its number."""
        return self.federation.client_model(self.state, client)["params"]


def load_method(
    run: Run, task: Task, method: Method, net: nn.Module, names: Sequence[str]
) -> TrainedMethod:
    """What training left for the clients `names`; UserError if it is not finished."""
    directory, name = _checkpoints(run, method), method_name(method)
    if not directory.is_dir():
        raise UserError(f"{run.path}: {name} is not trained yet; run jaxnas train first")
    # Steps only shape the schedule, which is no part of the state; nor is what computes the rounds.
    here = run.config.federated.model_copy(update={"devices": 1})
    config, equal = run.config.model_copy(update={"federated": here}), [1.0] * len(names)
    federation = _federation(config, task, method, net, sys.maxsize, names, equal)
    target = jax.eval_shape(lambda: _initial_state(config, task, federation, net))
    with CheckpointStore(directory) as store:
        found = store.restore(target)
    if found is None or not found[1]["finished"]:
        raise UserError(f"{run.path}: training of {name} is not finished; go on with jaxnas train")
    return TrainedMethod(federation, found[0].replace(optim={}))  # moments are no longer needed


def abstract_model(task: Task, net: nn.Module) -> Model:
    """Shapes and dtypes of what a network exchanges: its parameters, and alphas if it has any.

    Batch statistics are no part of it: they are of a single batch (see `ops.norm`).
    """
    variables = jax.eval_shape(lambda: task.init(jax.random.key(0), net))
    return {name: variables[name] for name in ("params", "alphas") if name in variables}


def is_personal(method: Method, model: Model) -> bool:
    """Whether clients keep leaves of a (possibly abstract) model of their own."""
    strategy = build_strategy(method)
    return any(strategy.held(path) for path in leaf_paths(model))


def round_traffic(method: Method | SearchStrategy, model: Model, *, clients: int) -> Traffic:
    """The bytes that one of `clients` clients sends and receives in a round of training a (possibly
    abstract) model, or of searching in one; computes nothing."""
    strategy = build_strategy(method)
    return measure_traffic(strategy, select(model, strategy.shared), clients=clients)


def note_communication(path: Path, name: str, federation: Federation, rounds: int) -> None:
    """Sets one entry of communication.json: bytes per client and round, and of the whole run."""
    traffic = federation.traffic
    taking_part = [len(federation.participants(number)) for number in range(rounds)]
    entry = {
        "up": traffic.up,
        "down": traffic.down,
        "clients": taking_part[0],
        "rounds": rounds,
        "total": (traffic.up + traffic.down) * sum(taking_part),
    }
    file = path / COMMUNICATION
    write_json(file, (read_json(file) if file.exists() else {}) | {name: entry})


def _across(
    config: AnyConfig,
    task: Task,
    method: Method,
    net: nn.Module,
    cohort: Cohort,
    *,
    clock: Clock | None = None,
) -> Federation:
    """One method across a cohort."""
    steps = config.federated.rounds * cohort.batches.longest
    return _federation(config, task, method, net, steps, cohort.names, cohort.weights, clock=clock)


def _federation(
    config: AnyConfig,
    task: Task,
    method: Method,
    net: nn.Module,
    steps: int,
    names: Sequence[str],
    weights: Sequence[float],
    *,
    clock: Clock | None = None,
) -> Federation:
    strategy = build_strategy(method)
    return Federation(
        _program(task, net, config.train.optimizer, steps, strategy.penalty),
        strategy,
        names=names,
        weights=np.asarray(weights),
        config=config.federated,
        seed=config.seed,
        clock=clock,
    )


@functools.lru_cache(maxsize=4)
def _program(
    task: Task, net: nn.Module, optimizer: OptimConfig, steps: int, penalty: Penalty | None
) -> Program:
    """What a client does; methods without a penalty share one program, which is compiled once."""
    tx, rate = make_optimizer(optimizer, steps), make_schedule(optimizer, steps)
    return training_program(task.loss(net), tx, penalty=penalty, rate=rate)


def _initial_state(
    config: AnyConfig, task: Task, federation: Federation, net: nn.Module
) -> FedState:
    """The state before the first round, the same for every method of one network."""
    key = rng.root_key(config.seed)
    params = task.init(rng.stream(key, "init", 0), net)["params"]
    return federation.init(rng.stream(key, "train", 0), {"params": params})


def _checkpoints(run: Run, method: Method) -> Path:
    return run.checkpoints(f"train-{method.model}-{method.label}")
