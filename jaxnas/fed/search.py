"""A search across clients: weights and alphas of every client are averaged each round."""

import numpy as np

from jaxnas.core import rng
from jaxnas.core.config import AnyConfig
from jaxnas.core.federated_schema import FedAvg
from jaxnas.core.training_schema import check_warmup
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.optim import make_optimizer
from jaxnas.engine.run import Run
from jaxnas.fed.local import search_batches
from jaxnas.fed.program import search_program
from jaxnas.fed.rounds import Federation
from jaxnas.fed.strategies import build_strategy
from jaxnas.fed.training import note_communication
from jaxnas.search.budget import check_optimizers, config_in_steps
from jaxnas.search.methods import Method, SearchProblem, make_method
from jaxnas.search.stage import ranking_batches
from jaxnas.spaces.genotype import Genotype


def check_federated_search(config: AnyConfig, cohort: Cohort, problem: SearchProblem) -> None:
    """Raises UserError for whatever a search would stumble over; computes and writes nothing."""
    longest = search_batches(config, cohort).longest
    search_federation(config, cohort, _method(config, problem), longest, Clock())


def search_clients(
    run: Run, cohort: Cohort, problem: SearchProblem, writer: MetricWriter
) -> Genotype:
    """Searches across clients, writes alphas.json, notes time and traffic, and returns the
    genotype. The objective is the same at every client."""
    config, clock = run.config, Clock()
    batches, method = search_batches(config, cohort), _method(config, problem)
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
            model=config.network.space,
            every=Cadence(log=config.search.check_every, checkpoint=config.checkpoint_every),
            on_log=lambda number, state, row: method.on_log(number, state.server["alphas"], row),
            host=method.history,
            clock=clock,
            quiet=run.quiet,
        )
    ranking = ranking_batches([*batches.streams])
    genotype = method.conclude(state.key, state.server["params"], ranking)
    run.dir.alphas.write(method.history.summary())
    run.dir.record_timing("search", clock.summary())
    note_communication(run.dir, "search", federation, int(state.round))
    return genotype


def search_federation(
    config: AnyConfig, cohort: Cohort, method: Method, longest: int, clock: Clock
) -> Federation:
    """The rounds of a search, of at most `longest` local steps; UserError for settings that do not
    go together. Any method's step is what a client does locally."""
    steps = config.federated.search_rounds * longest
    check_warmup(config, config.federated.search_rounds)
    check_optimizers(config, steps)
    local = config_in_steps(config, steps, per_round=longest).search
    w_tx = make_optimizer(local.weights, local.steps)
    a_tx = make_optimizer(local.alphas, local.steps)
    return Federation(
        search_program(method.make_step(local, w_tx, a_tx), w_tx, a_tx),
        # The moving average of FedAutoMRI belongs to training alone.
        build_strategy(FedAvg(strategy="fedavg")),
        names=cohort.names,
        weights=np.asarray(cohort.weights),
        config=config.federated,
        seed=config.seed,
        clock=clock,
    )


def _method(config: AnyConfig, problem: SearchProblem) -> Method:
    """The method, whose checks and warm-up count in rounds."""
    return make_method(config_in_steps(config, config.federated.search_rounds).search, problem)
