"""Training every method of a config across clients: same rounds, batches and masks for all."""

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from jaxnas.core import rng
from jaxnas.core.errors import UserError
from jaxnas.core.federated_schema import Method
from jaxnas.core.files import read_json, write_json
from jaxnas.core.schema import AcquisitionConfig, Config, TrainConfig
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.logs import RunLog
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.losses import reconstruction_loss
from jaxnas.engine.optim import make_optimizer
from jaxnas.engine.rundir import Run
from jaxnas.engine.training import find_genotype, make_validation, note_timing, trainable
from jaxnas.fed.batches import training_batches
from jaxnas.fed.checks import check_batches
from jaxnas.fed.clients import Client
from jaxnas.fed.paths import leaf_paths, select
from jaxnas.fed.program import Penalty, Program, training_program
from jaxnas.fed.rounds import Federation
from jaxnas.fed.state import FedState, Model
from jaxnas.fed.strategies import build_strategy
from jaxnas.fed.traffic import Traffic, measure_traffic
from jaxnas.models.networks import DERIVED, init_variables
from jaxnas.spaces.genotype import save_genotype

COMMUNICATION = "communication.json"


def method_name(method: Method) -> str:
    """What a method is called in a run: `<model>/<label>`."""
    return f"{method.model}/{method.label}"


def check_training(run: Run, clients: Sequence[Client], *, searched: bool, fresh: bool) -> None:
    """Raises UserError for whatever training would stumble over; computes and writes nothing.

    `searched` and `fresh` as in `trainable`; a network still to be found is not looked into.
    """
    nets = trainable(run, searched=searched, fresh=fresh)
    check_batches(run.config, clients)
    longest = training_batches(run.config, clients).longest
    paths = {name: leaf_paths(_abstract_model(net)) for name, net in nets.items()}
    for method in run.config.federated.methods:
        if method.model in nets:
            federation = _across(run.config, method, nets[method.model], clients, longest)
            federation.strategy.shared.check(paths[method.model])


def train_all(run: Run, clients: Sequence[Client], log: RunLog) -> None:
    """Trains every method, one after the other; finished ones cost nothing.

    The run keeps the genotype it trains.
    """
    methods = run.config.federated.methods
    if any(method.model == DERIVED for method in methods):
        save_genotype(run.genotype_path, find_genotype(run))
    nets = trainable(run)
    for method in methods:
        train_method(run, clients, log, method, nets[method.model])


def train_method(
    run: Run, clients: Sequence[Client], log: RunLog, method: Method, net: nn.Module
) -> None:
    """Trains one method and notes its time and its traffic.

    The key of initialisation, data order and masks is the run's: it does not depend on the method.
    """
    config, name, clock = run.config, method_name(method), Clock()
    batches = training_batches(config, clients)
    federation = _across(config, method, net, clients, batches.longest, clock=clock)
    every = Cadence(
        log=config.log_every,
        checkpoint=config.checkpoint_every,
        validate=config.train.validate_every,
    )
    with CheckpointStore(_checkpoints(run, method), keep=2) as store:
        state = run_loop(
            federation,
            _initial_state(config, federation, net),
            batches,
            steps=config.federated.rounds,
            store=store,
            log=log,
            stage="train",
            model=name,
            every=every,
            validate=_validation(federation, net, clients) if every.validate else None,
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
        """The parameters that a client reconstructs with, by its number."""
        return self.federation.client_model(self.state, client)["params"]


def load_method(run: Run, method: Method, net: nn.Module, names: Sequence[str]) -> TrainedMethod:
    """What training left for the clients `names`; UserError if it is not finished."""
    directory, name = _checkpoints(run, method), method_name(method)
    if not directory.is_dir():
        raise UserError(f"{run.path}: {name} is not trained yet; run jaxnas train first")
    # Steps only shape the schedule, which is no part of the state; nor is what computes the rounds.
    here = run.config.federated.model_copy(update={"devices": 1})
    config, equal = run.config.model_copy(update={"federated": here}), [1.0] * len(names)
    federation = _federation(config, method, net, config.acquisition, sys.maxsize, names, equal)
    target = jax.eval_shape(lambda: _initial_state(config, federation, net))
    with CheckpointStore(directory) as store:
        found = store.restore(target)
    if found is None or not found[1]["finished"]:
        raise UserError(f"{run.path}: training of {name} is not finished; go on with jaxnas train")
    return TrainedMethod(federation, found[0].replace(optim={}))  # moments are no longer needed


def is_personal(method: Method, net: nn.Module) -> bool:
    """Whether clients keep parameters of their own, so that each reconstructs differently."""
    strategy = build_strategy(method)
    return any(strategy.held(path) for path in leaf_paths(_abstract_model(net)))


def training_traffic(method: Method, net: nn.Module, *, clients: int) -> Traffic:
    """What one of `clients` clients sends and receives in a round; computes nothing."""
    strategy = build_strategy(method)
    shared = select(_abstract_model(net), strategy.shared)
    memory = jax.eval_shape(lambda leaves: strategy.init_memory(leaves, clients), shared)
    return measure_traffic(shared, memory)


def search_traffic(net: nn.Module) -> Traffic:
    """What a client sends and receives in a round of a search: all weights and alphas."""
    return measure_traffic(_abstract_model(net), {})


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
    config: Config,
    method: Method,
    net: nn.Module,
    clients: Sequence[Client],
    longest: int,
    *,
    clock: Clock | None = None,
) -> Federation:
    """One method across `clients`, of which the one with most steps has `longest` in a round."""
    names, weights = zip(*((client.name, client.weight) for client in clients))
    # The masks come with the batches; of the acquisition only the scale is used, common to all.
    acquisition, steps = clients[0].acquisition, config.federated.rounds * longest
    return _federation(config, method, net, acquisition, steps, names, weights, clock=clock)


def _federation(
    config: Config,
    method: Method,
    net: nn.Module,
    acquisition: AcquisitionConfig,
    steps: int,
    names: Sequence[str],
    weights: Sequence[float],
    *,
    clock: Clock | None = None,
) -> Federation:
    strategy = build_strategy(method)
    return Federation(
        _program(config.train, net, acquisition, steps, strategy.penalty),
        strategy,
        names=names,
        weights=np.asarray(weights),
        config=config.federated,
        seed=config.seed,
        clock=clock,
    )


@functools.lru_cache(maxsize=4)
def _program(
    config: TrainConfig,
    net: nn.Module,
    acquisition: AcquisitionConfig,
    steps: int,
    penalty: Penalty | None,
) -> Program:
    """What a client does; methods without a penalty share one program, which is compiled once."""
    tx = make_optimizer(config.optimizer, steps)
    return training_program(
        reconstruction_loss(net, acquisition, rows=config.rows), tx, penalty=penalty
    )


def _initial_state(config: Config, federation: Federation, net: nn.Module) -> FedState:
    """The state before the first round, the same for every method of one network."""
    key = rng.root_key(config.seed)
    params = init_variables(rng.stream(key, "init", 0), net)["params"]
    return federation.init(rng.stream(key, "train", 0), {"params": params})


def _abstract_model(net: nn.Module) -> Model:
    """Shapes and dtypes of all variables of a network."""
    return dict(jax.eval_shape(lambda: init_variables(jax.random.key(0), net)))


def _checkpoints(run: Run, method: Method) -> Path:
    return run.checkpoints(f"train-{method.model}-{method.label}")


def _validation(
    federation: Federation, net: nn.Module, clients: Sequence[Client]
) -> Callable[[FedState], dict[str, float]]:
    """What the loop reports: every client's PSNR with its own model, and their mean."""
    score = make_validation(net)

    def validate(state):
        scores = {}
        for i, client in enumerate(clients):
            params = federation.client_model(state, i)["params"]
            scores[client.name] = score(params, client.dataset, client.acquisition)
        mean = float(np.mean([*scores.values()]))
        return {"valid_psnr": mean} | {f"valid_psnr/{name}": x for name, x in scores.items()}

    return validate
