"""A search across clients: weights and alphas of every client are averaged each round."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxnas.core import rng
from jaxnas.core.config import AnyConfig
from jaxnas.core.federated_schema import FedAvg
from jaxnas.core.training_schema import check_warmup
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, HostState, run_loop
from jaxnas.engine.optim import make_optimizer
from jaxnas.engine.run import Run
from jaxnas.fed.local import ClientBatches
from jaxnas.fed.program import search_program
from jaxnas.fed.rounds import Federation
from jaxnas.fed.state import FedState
from jaxnas.fed.strategies import build_strategy
from jaxnas.fed.training import note_communication
from jaxnas.search.budget import check_optimizers, config_in_steps
from jaxnas.search.moves import Step


@dataclass(frozen=True)
class FederatedSearch:
    """A search before anything is computed.

    `make_step(config, w_tx, a_tx)` makes the local step of a client, of a config that counts steps;
    `init(key)` are the variables `params` and `alphas` of the supernet; `on_log(round, alphas,
    row)` tells whether the search is over, with `host` as its memory.
    """

    cohort: Cohort
    batches: ClientBatches
    init: Callable[[jax.Array], Mapping[str, Any]]
    make_step: Callable[..., Step]
    on_log: Callable[[int, Any, Mapping[str, float]], bool | None]
    host: HostState


def search_federation(config: AnyConfig, search: FederatedSearch, clock: Clock) -> Federation:
    """The rounds of a search; UserError for settings that do not go together.

    Any search method's step is what a client does locally.
    """
    per_round = search.batches.longest
    steps = config.federated.search_rounds * per_round
    check_warmup(config, config.federated.search_rounds)
    check_optimizers(config, steps)
    local = config_in_steps(config, steps, per_round=per_round)
    w_tx = make_optimizer(config.search.weights, local.search.steps)
    a_tx = make_optimizer(config.search.alphas, local.search.steps)
    return Federation(
        search_program(search.make_step(local, w_tx, a_tx), w_tx, a_tx),
        # The moving average of FedAutoMRI belongs to training alone.
        build_strategy(FedAvg(strategy="fedavg")),
        names=search.cohort.names,
        weights=np.asarray(search.cohort.weights),
        config=config.federated,
        seed=config.seed,
        clock=clock,
    )


def search_rounds(run: Run, search: FederatedSearch, writer: MetricWriter) -> FedState:
    """Searches across clients, notes time and traffic, and returns the last state."""
    config, clock = run.config, Clock()
    federation = search_federation(config, search, clock)
    key = rng.root_key(config.seed)
    variables = search.init(rng.stream(key, "init", 0))
    model = {"params": variables["params"], "alphas": variables["alphas"]}
    with CheckpointStore(run.dir.checkpoints("search"), keep=2) as store:
        state = run_loop(
            federation,
            federation.init(rng.stream(key, "search", 0), model),
            search.batches,
            steps=config.federated.search_rounds,
            store=store,
            writer=writer,
            stage="search",
            model=config.network.space,
            every=Cadence(log=config.search.check_every, checkpoint=config.checkpoint_every),
            on_log=lambda number, state, row: search.on_log(number, state.server["alphas"], row),
            host=search.host,
            clock=clock,
            quiet=run.quiet,
        )
    run.dir.record_timing("search", clock.summary())
    note_communication(run.dir, "search", federation, int(state.round))
    return state
