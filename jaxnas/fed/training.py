"""Training every method of a config across clients: same rounds and batches for all.

The purpose of a network is a `Task`; those who take part are a `Cohort`.
"""

import functools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from jaxnas.core import rng
from jaxnas.core.errors import UserError
from jaxnas.core.sections import Experiment
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.networks import DERIVED
from jaxnas.engine.optim import check_schedule, make_optimizer, make_schedule
from jaxnas.engine.run import Run
from jaxnas.engine.rundir import RunDir
from jaxnas.engine.section import OptimConfig
from jaxnas.engine.task import Task, Variables
from jaxnas.engine.training import hand_over, keep_statistics, kept_statistics, unfinished
from jaxnas.fed.feed import ClientBatches, training_batches
from jaxnas.fed.program import Program, training_program
from jaxnas.fed.rounds import Federation
from jaxnas.fed.section import Method, SearchStrategy
from jaxnas.fed.state import FedState, ModelTree, leaf_paths, select
from jaxnas.fed.strategies import build_strategy
from jaxnas.fed.strategy import Penalty, Traffic, measure_traffic


def client_scores(name: str, scores: Mapping[str, float]) -> dict[str, float]:
    """The mean of the scores of all clients under `name`, and each as `<name>/<client>`."""
    mean = float(np.mean([*scores.values()]))
    return {name: mean} | {f"{name}/{client}": score for client, score in scores.items()}


def method_folder(method: Method) -> str:
    """The name of a method in a run: `<model>/<label>`."""
    return f"{method.model}/{method.label}"


def check_methods(
    config: Experiment, task: Task, nets: Mapping[str, nn.Module], cohort: Cohort
) -> None:
    """Raises UserError for whatever training would stumble over; computes and writes nothing.

    A network that is not among `nets`, because it is still to be found, is not looked into.
    """
    longest = training_batches(config, cohort).longest
    check_schedule(config.train.optimizer, config.federated.rounds * longest, key="train.optimizer")
    paths = {name: leaf_paths(abstract_model(task, net)) for name, net in nets.items()}
    for method in config.federated.methods:
        if method.model in nets:
            federation = _across(config, task, method, nets[method.model], cohort, longest=longest)
            federation.strategy.shared.check(paths[method.model])


def train_methods(
    run: Run, task: Task, nets: Mapping[str, nn.Module], cohort: Cohort, writer: MetricWriter
) -> None:
    """Trains every method, one after the other; finished ones cost nothing."""
    batches = training_batches(run.config, cohort)
    for method in run.config.federated.methods:
        train_method(run, task, method, nets[method.model], cohort, batches, writer)


def train_method(
    run: Run,
    task: Task,
    method: Method,
    net: nn.Module,
    cohort: Cohort,
    batches: ClientBatches,
    writer: MetricWriter,
) -> None:
    """Trains one method, notes its time and its traffic, and keeps what every client applies
    beside its parameters.

    The key of initialisation, data order and draws is the run's: it does not depend on the method.
    """
    name = method_folder(method)
    training = _MethodTraining(run, task, method, net, cohort, batches)
    state = training.until(
        run.config.federated.rounds,
        writer,
        stage="train",
        name=name,
        every=run.config.train.validate_every,
    )
    for number, client in enumerate(cohort.names):
        keep_statistics(run, task, f"{name}/{client}", partial(training.variables, state, number))
    note_communication(run.dir, name, training.federation, int(state.round))


class _MethodTraining:
    """The training of one network by one method across a cohort."""

    def __init__(
        self,
        run: Run,
        task: Task,
        method: Method,
        net: nn.Module,
        cohort: Cohort,
        batches: ClientBatches,
    ) -> None:
        self.run, self.task, self.net, self.cohort, self.batches = run, task, net, cohort, batches
        self.clock = Clock()
        self.federation = _across(
            run.config, task, method, net, cohort, longest=batches.longest, clock=self.clock
        )
        self.finish, self.score = task.finish(net), task.validate(net)

    def variables(self, state: FedState, number: int) -> Variables:
        """The variables that a client applies in a state."""
        params = self.federation.client_model(state, number)["params"]
        return self.finish(params, self.batches.streams[number])

    def validate(self, state: FedState) -> dict[str, float]:
        """Every client's score with its own model, and their mean."""
        scores = {
            client: self.score(self.variables(state, number), dataset)
            for number, (client, dataset) in enumerate(self.cohort.members.items())
        }
        return client_scores(self.task.score, scores)

    def initial(self) -> FedState:
        """The state before the first round."""
        return _initial_state(self.run.config, self.task, self.federation, self.net)

    def until(
        self, rounds: int, writer: MetricWriter, *, stage: str, name: str, every: int = 0
    ) -> FedState:
        """The state after so many rounds, validated `every` so many (0: never); goes on where it
        was left."""
        config = self.run.config
        with CheckpointStore(self.run.dir.checkpoints(f"{stage}-{name}"), keep=2) as store:
            state = run_loop(
                self.federation,
                self.initial(),
                self.batches,
                steps=rounds,
                store=store,
                writer=writer,
                stage=stage,
                model=name,
                every=Cadence(
                    log=config.log_every, checkpoint=config.checkpoint_every, validate=every
                ),
                validate=self.validate if every else None,
                clock=self.clock,
                quiet=self.run.quiet,
            )
        self.run.dir.record_timing(f"{stage} {name}", self.clock.summary())
        return state


class ClientTraining:
    """Trainings of candidates across clients by the first method that trains `derived`, stopped on
    the way; `length` is a whole training, in `unit`."""

    unit = "rounds"

    def __init__(self, run: Run, task: Task, cohort: Cohort, writer: MetricWriter) -> None:
        self._run, self._task, self._cohort, self._writer = run, task, cohort, writer
        self._batches = training_batches(run.config, cohort)
        methods = run.config.federated.methods
        self._method = next(method for method in methods if method.model == DERIVED)
        self._trainings: dict[str, _MethodTraining] = {}
        self.length = run.config.federated.rounds

    def reach(self, stage: str, name: str, net: nn.Module, *, until: int) -> float:
        """Trains a network on to round `until` and returns the mean of the scores of all clients on
        their validation volumes."""
        training = self._training(name, net)
        state = training.until(until, self._writer, stage=stage, name=name)
        return float(training.validate(state)[self._task.score])

    def adopt(self, stage: str, name: str, net: nn.Module) -> None:
        """Makes the training of a candidate that of the method, to be gone on with."""
        state = jax.eval_shape(self._training(name, net).initial)
        hand_over(self._run, f"{stage}-{name}", self._own, state)

    @property
    def _own(self) -> str:
        return f"train-{method_folder(self._method)}"

    def note_traffic(self, stage: str, rounds: Mapping[str, int], nets: Mapping[str, nn.Module]):
        """Sets the entry `stage` of communication.json: the bytes of candidates that were trained
        for so many `rounds`, of one client and round in the mean."""
        up = down = took_part = 0
        for name, count in rounds.items():
            federation = self._training(name, nets[name]).federation
            clients = sum(len(federation.participants(number)) for number in range(count))
            up += federation.traffic.up * clients
            down += federation.traffic.down * clients
            took_part += clients
        entry = {
            "up": round(up / took_part),
            "down": round(down / took_part),
            "clients": round(took_part / sum(rounds.values())),
            "rounds": sum(rounds.values()),
            "total": up + down,
        }
        self._run.dir.communication.update(stage, entry)

    def _training(self, name: str, net: nn.Module) -> _MethodTraining:
        if name not in self._trainings:
            self._trainings[name] = _MethodTraining(
                self._run, self._task, self._method, net, self._cohort, self._batches
            )
        return self._trainings[name]


@dataclass(frozen=True)
class TrainedMethod:
    """A method whose training is finished, for the clients `names`."""

    run: Run
    task: Task
    name: str
    names: tuple[str, ...]
    federation: Federation
    state: FedState

    def variables(self, client: str) -> dict[str, Any]:
        """The variables that a client applies."""
        number = self.names.index(client)
        params = self.federation.client_model(self.state, number)["params"]
        return {"params": params, **kept_statistics(self.run, self.task, f"{self.name}/{client}")}


def load_method(
    run: Run, task: Task, method: Method, net: nn.Module, names: Sequence[str]
) -> TrainedMethod:
    """The method as training left it for the clients `names`; UserError if it is not finished."""
    name = method_folder(method)
    directory = run.dir.checkpoints(f"train-{name}")
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
        raise unfinished(run, name)
    state = found[0].replace(optim={})  # moments are no longer needed
    return TrainedMethod(run, task, name, tuple(names), federation, state)


def abstract_model(task: Task, net: nn.Module) -> ModelTree:
    """Shapes and dtypes of what a network exchanges: its parameters, and alphas if it has any.

    Batch statistics are no part of it: they are of a single batch (see `ops.norm`).
    """
    variables = jax.eval_shape(lambda: task.init(jax.random.key(0), net))
    return {name: variables[name] for name in ("params", "alphas") if name in variables}


def is_personal(method: Method, model: ModelTree) -> bool:
    """True if clients keep leaves of their own of a (possibly abstract) model."""
    strategy = build_strategy(method)
    return any(strategy.held(path) for path in leaf_paths(model))


def round_traffic(method: Method | SearchStrategy, model: ModelTree, *, clients: int) -> Traffic:
    """The bytes that one of `clients` clients sends and receives in a round of training a (possibly
    abstract) model, or of searching in one; computes nothing."""
    strategy = build_strategy(method)
    return measure_traffic(strategy, select(model, strategy.shared), clients=clients)


def note_communication(run_dir: RunDir, name: str, federation: Federation, rounds: int) -> None:
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
    run_dir.communication.update(name, entry)


def _across(
    config: Experiment,
    task: Task,
    method: Method,
    net: nn.Module,
    cohort: Cohort,
    *,
    longest: int,
    clock: Clock | None = None,
) -> Federation:
    """One method across a cohort, of `longest` local steps in a round."""
    steps = config.federated.rounds * longest
    return _federation(config, task, method, net, steps, cohort.names, cohort.weights, clock=clock)


def _federation(
    config: Experiment,
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
    """The program of a client; methods without a penalty share one, which is compiled once."""
    tx, rate = make_optimizer(optimizer, steps), make_schedule(optimizer, steps)
    return training_program(task.loss(net), tx, penalty=penalty, rate=rate)


def _initial_state(
    config: Experiment, task: Task, federation: Federation, net: nn.Module
) -> FedState:
    """The state before the first round, the same for every method of one network."""
    key = rng.root_key(config.seed)
    params = task.init(rng.stream(key, "init", 0), net)["params"]
    return federation.init(rng.stream(key, "train", 0), {"params": params})
