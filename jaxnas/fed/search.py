"""A search across clients: weights and alphas of every client are exchanged in each round, by the
strategy of `federated.search_strategy`."""

import functools

import numpy as np

from jaxnas.core import rng
from jaxnas.core.sections import Experiment
from jaxnas.data.batches import HalfBatches
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.optim import make_optimizer
from jaxnas.engine.run import Run
from jaxnas.fed.feed import ClientBatches, search_batches
from jaxnas.fed.program import search_program
from jaxnas.fed.rounds import Federation
from jaxnas.fed.state import FedState
from jaxnas.fed.strategies import build_strategy
from jaxnas.fed.training import note_communication
from jaxnas.search.methods import SearchMethod, SearchProblem, make_method
from jaxnas.search.section import check_warmup
from jaxnas.search.stage import check_optimizers, config_in_steps, ranking_batches
from jaxnas.spaces.genotype import Genotype


def check_federated_search(config: Experiment, cohort: Cohort, problem: SearchProblem) -> None:
    """Raises UserError for whatever a search would stumble over; computes and writes nothing."""
    longest = search_batches(config, cohort).longest
    search_federation(config, cohort, _method(config, problem), longest, Clock())


def search_clients(
    run: Run, cohort: Cohort, problem: SearchProblem, writer: MetricWriter
) -> Genotype:
    """Searches across clients, writes alphas.json and returns the genotype. The objective is the
    same at every client."""
    method, batches = _method(run.config, problem), search_batches(run.config, cohort)
    state = search_rounds(run, cohort, method, batches, writer)
    ranking = ranking_batches([*batches.streams])
    genotype = method.conclude(state.key, state.server["params"], ranking)
    run.dir.alphas.write(method.history.summary())
    return genotype


def search_rounds(
    run: Run,
    cohort: Cohort,
    method: SearchMethod,
    batches: ClientBatches[HalfBatches],
    writer: MetricWriter,
) -> FedState:
    """The rounds of a search, whose time and traffic are noted; returns the last state."""
    config, clock, problem = run.config, Clock(), method.problem
    federation = search_federation(config, cohort, method, batches.longest, clock)
    key = rng.root_key(config.seed)
    variables = problem.init(rng.stream(key, "init", 0))
    model = {"params": variables["params"], "alphas": variables["alphas"]}
    with CheckpointStore(run.dir.checkpoints("search"), keep=2) as store:
        state = run_loop(
            federation,
            federation.init(rng.stream(key, "search", 0), model),
            batches,
            steps=config.federated.search_rounds,
            store=store,
            writer=writer,
            stage="search",
            model=problem.space.name,
            every=Cadence(log=config.search.check_every, checkpoint=config.checkpoint_every),
            on_log=lambda number, state, row: method.on_log(number, state.server["alphas"], row),
            host=method.history,
            clock=clock,
            quiet=run.quiet,
        )
    run.dir.record_timing("search", clock.summary())
    note_communication(run.dir, "search", federation, int(state.round))
    return state


def search_federation(
    config: Experiment, cohort: Cohort, method: SearchMethod, longest: int, clock: Clock
) -> Federation:
    """The rounds of a search, of at most `longest` local steps; UserError for settings that do not
    go together. Any method's step is what a client does locally."""
    steps = config.federated.search_rounds * longest
    check_warmup(config, config.federated.search_rounds)
    check_optimizers(config, steps)
    local = config_in_steps(config, steps, per_round=longest).search
    w_tx = make_optimizer(local.weights, local.steps)
    a_tx = make_optimizer(local.alphas, local.steps)
    strategy = build_strategy(config.federated.search_strategy)
    make_step = functools.partial(method.make_step, local)
    return Federation(
        search_program(make_step, w_tx, a_tx, penalty=strategy.penalty),
        strategy,
        names=cohort.names,
        weights=np.asarray(cohort.weights),
        config=config.federated,
        seed=config.seed,
        clock=clock,
    )


def _method(config: Experiment, problem: SearchProblem) -> SearchMethod:
    """The method, whose checks and warm-up count in rounds."""
    return make_method(config_in_steps(config, config.federated.search_rounds).search, problem)
