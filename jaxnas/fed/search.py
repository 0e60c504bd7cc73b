"""The search stage across clients: weights and alphas of every client are averaged each round."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxnas.core import rng
from jaxnas.core.federated_schema import FedAvg
from jaxnas.core.files import write_json
from jaxnas.core.schema import Config
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.logs import RunLog
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.optim import make_optimizer
from jaxnas.engine.rates import run_rates
from jaxnas.engine.rundir import Run
from jaxnas.engine.training import note_timing
from jaxnas.fed.batches import ClientBatches, search_batches
from jaxnas.fed.checks import check_halves
from jaxnas.fed.clients import Client
from jaxnas.fed.program import search_program
from jaxnas.fed.rounds import Federation
from jaxnas.fed.strategies import build_strategy
from jaxnas.fed.training import note_communication
from jaxnas.models.networks import init_variables
from jaxnas.ops.costs import Rates
from jaxnas.search.aim import ACCURACY, Aim
from jaxnas.search.history import History
from jaxnas.search.stage import ALPHAS, METHODS, RANKING_BATCHES, proxy, supernet_loss
from jaxnas.spaces.genotype import Genotype, save_genotype
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.supernet import Supernet, supernet


@dataclass(frozen=True)
class _Parts:
    """What a search is made of, before anything is computed."""

    net: Supernet
    history: History
    method: Any
    batches: ClientBatches
    federation: Federation


def check_search(config: Config, clients: Sequence[Client]) -> None:
    """Raises UserError for whatever a search would stumble over; computes and writes nothing."""
    check_halves(config, clients)
    _parts(config, clients, Clock(), ACCURACY, None)


def search(run: Run, clients: Sequence[Client], log: RunLog, *, aim: Aim = ACCURACY) -> Genotype:
    """Searches across clients, writes alphas.json and genotype.json, and returns the genotype.

    Any search method's step is what a client does locally, with the same `aim` at every client.
    What the config counts in steps of the search (`warmup`, `check_every`) is counted in rounds
    here.
    """
    config, clock = run.config, Clock()
    parts = _parts(config, clients, clock, aim, run_rates(run))
    key = rng.root_key(config.seed)
    variables = init_variables(rng.stream(key, "init", 0), parts.net)
    model = {"params": variables["params"], "alphas": variables["alphas"]}
    with CheckpointStore(run.checkpoints("search"), keep=2) as store:
        state = run_loop(
            parts.federation,
            parts.federation.init(rng.stream(key, "search", 0), model),
            parts.batches,
            steps=config.federated.search_rounds,
            store=store,
            log=log,
            stage="search",
            model=config.network.space,
            every=Cadence(log=config.search.check_every, checkpoint=config.checkpoint_every),
            on_log=lambda n, state, row: parts.method.on_log(n, state.server["alphas"], row),
            host=parts.history,
            clock=clock,
            quiet=run.quiet,
        )
    genotype = parts.method.conclude(state.key, state.server["params"], _ranking(parts.batches))
    write_json(run.path / ALPHAS, parts.history.summary(config.network.nodes))
    save_genotype(run.genotype_path, genotype)
    note_timing(run.path, "search", clock.summary())
    note_communication(run.path, "search", parts.federation, int(state.round))
    return genotype


def _parts(
    config: Config, clients: Sequence[Client], clock: Clock, aim: Aim, rates: Rates | None
) -> _Parts:
    """The parts of a search; UserError for settings that do not go together."""
    space = SPACES[config.network.space]
    history = History(space, patience=config.search.patience, max_skips=config.search.max_skips)
    net = supernet(proxy(config), rates=rates)
    # The masks come with the batches.
    loss = supernet_loss(net, clients[0].acquisition, rows=config.search.rows)
    batches = search_batches(config, clients)
    steps = config.federated.search_rounds * batches.longest
    w_tx = make_optimizer(config.search.weights, steps)
    a_tx = make_optimizer(config.search.alphas, steps)
    method = METHODS[config.search.method](_counted(config, 1), loss, history, aim)
    local = replace(method, config=_counted(config, batches.longest))
    federation = Federation(
        search_program(local.make_step(w_tx, a_tx), w_tx, a_tx),
        # The moving average of FedAutoMRI belongs to training alone.
        build_strategy(FedAvg(strategy="fedavg")),
        names=[client.name for client in clients],
        weights=np.array([client.weight for client in clients]),
        config=config.federated,
        seed=config.seed,
        clock=clock,
    )
    return _Parts(net, history, method, batches, federation)


def _counted(config: Config, per_round: int) -> Config:
    """The config of a search with its rounds counted as `per_round` steps each."""
    changed = {
        "steps": config.federated.search_rounds * per_round,
        "warmup": config.search.warmup * per_round,
    }
    return config.model_copy(update={"search": config.search.model_copy(update=changed)})


def _ranking(batches: ClientBatches) -> Iterator[Any]:
    """Validation batches to rank candidates on: the same number of every client's."""
    each = -(-RANKING_BATCHES // len(batches.streams))
    for i in range(each):
        for stream in batches.streams:
            yield stream.valid.batch(i)
