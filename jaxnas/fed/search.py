"""A search across clients: weights and alphas of every client are exchanged in each round, by the
strategy of `federated.search_strategy`."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxnas.core import rng
from jaxnas.core.config import AnyConfig
from jaxnas.core.training_schema import check_warmup
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, HostState, run_loop
from jaxnas.engine.optim import make_optimizer
from jaxnas.engine.rundir import Run
from jaxnas.engine.training import note_timing
from jaxnas.fed.local import Cohort
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
    init: Callable[[jax.Array], Mapping[str, Any]]
    make_step: Callable[..., Step]
    on_log: Callable[[int, Any, Mapping[str, float]], bool | None]
    host: HostState


def search_federation(config: AnyConfig, search: FederatedSearch, clock: Clock) -> Federation:
    """The rounds of a search; UserError for settings that do not go together.

    Any search method's step is what a client does locally.
    """
    per_round = search.cohort.batches.longest
    steps = config.federated.search_rounds * per_round
    check_warmup(config, config.federated.search_rounds)
    check_optimizers(config, steps)
    local = config_in_steps(config, steps, per_round=per_round)
    w_tx = make_optimizer(config.search.weights, local.search.steps)
    a_tx = make_optimizer(config.search.alphas, local.search.steps)
    strategy = build_strategy(config.federated.search_strategy)
    make_step = functools.partial(search.make_step, local)
    return Federation(
        search_program(make_step, w_tx, a_tx, penalty=strategy.penalty),
        strategy,
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
    with CheckpointStore(run.checkpoints("search"), keep=2) as store:
        state = run_loop(
            federation,
            federation.init(rng.stream(key, "search", 0), model),
            search.cohort.batches,
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
    note_timing(run.path, "search", clock.summary())
    note_communication(run.path, "search", federation, int(state.round))
    return state
