"""The search stage of a run: from a config to alphas.json and genotype.json."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from jaxnas.core import rng
from jaxnas.core.schema import AcquisitionConfig, Config, NetworkConfig
from jaxnas.engine.acquire import make_example
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.groups import search_streams
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.losses import DISTANCES, Distance, l1
from jaxnas.engine.optim import make_optimizer, make_schedule
from jaxnas.engine.rates import run_rates
from jaxnas.engine.run import Run
from jaxnas.engine.step import CompiledStep
from jaxnas.models.networks import init_variables
from jaxnas.search.budget import config_in_steps, search_steps
from jaxnas.search.darts import make_first_order_step, make_second_order_step
from jaxnas.search.history import History
from jaxnas.search.milenas import make_milenas_step
from jaxnas.search.moves import Optimizer, SearchLoss, Step
from jaxnas.search.objective import ACCURACY, SearchObjective
from jaxnas.search.random_search import make_random_step, rank_candidates
from jaxnas.search.state import SearchState, init_search_state
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.supernet import Supernet, edge_weights, supernet

RANKING_BATCHES = 8


def supernet_loss(
    net: Supernet,
    acquisition: AcquisitionConfig,
    *,
    distance: Distance = l1,
    rows: int | None = None,
) -> SearchLoss:
    """Returns loss(params, alphas, batch, key), the `distance` (Eq. 16: L1); a float32 scalar."""

    def loss(params, alphas, batch, key):
        measurement, target = make_example(key, batch, acquisition, rows=rows)
        image = net.apply({"params": params, "alphas": alphas}, measurement)
        return distance(image, target)

    return loss


def search(
    run: Run, cohort: Cohort, writer: MetricWriter, *, aim: SearchObjective = ACCURACY
) -> Genotype:
    """Searches, writes alphas.json and genotype.json, and returns the genotype."""
    (batches,), clock = search_streams(run.config, cohort).values(), Clock()
    whole = config_in_steps(run.config, search_steps(run.config, batches.per_epoch))
    config, history = whole.search, make_history(whole)
    space = history.space
    net = supernet(proxy(whole), rates=run_rates(run))
    loss = search_loss(whole, net, run.config.acquisition)
    w_tx = make_optimizer(config.weights, config.steps)
    a_tx = make_optimizer(config.alphas, config.steps)
    method = METHODS[config.method](whole, loss, history, aim)
    with CheckpointStore(run.dir.checkpoints("search"), keep=2) as store:
        state = run_loop(
            CompiledStep(method.make_step(w_tx, a_tx), clock),
            _initial_state(run, net, w_tx, a_tx),
            batches,
            steps=config.steps,
            store=store,
            writer=writer,
            stage="search",
            model=space.name,
            every=Cadence(log=config.check_every, checkpoint=run.config.checkpoint_every),
            on_log=lambda step, state, row: method.on_log(step, state.alphas, row),
            host=history,
            clock=clock,
            quiet=run.quiet,
        )
    ranking = (batches.valid.batch(i) for i in range(RANKING_BATCHES))
    genotype = method.conclude(state.key, state.params, ranking)
    run.dir.alphas.write(history.summary(run.config.network.nodes))
    run.dir.genotype.write(genotype)
    run.dir.record_timing("search", clock.summary())
    return genotype


@dataclass(frozen=True)
class Darts:
    """Differentiable search: the genotype of the last alphas, stopped early once it is stable."""

    config: Config
    loss: SearchLoss
    history: History
    aim: SearchObjective = ACCURACY

    def make_step(self, w_tx: Optimizer, a_tx: Optimizer) -> Step:
        """The bilevel step of the config's order."""
        config, objective = self.config.search, self.aim.objective
        if config.order == "second":
            xi = make_schedule(config.weights, config.steps)
            return make_second_order_step(
                self.loss, w_tx, a_tx, xi=xi, warmup=config.warmup, objective=objective
            )
        return make_first_order_step(
            self.loss, w_tx, a_tx, warmup=config.warmup, objective=objective
        )

    def on_log(self, step: int, alphas: Any, row: Mapping[str, float]) -> bool:
        """Records the alphas after `step` steps; True ends the search."""
        weights = jax.device_get(edge_weights(alphas))
        losses = {name: row[name] for name in ("train_loss", "valid_loss") if name in row}
        self.history.record(step, weights, losses | self.aim.facts(weights))
        return self.history.should_stop

    def conclude(self, key: jax.Array, params: Any, batches: Iterable[Any]) -> Genotype:
        """The genotype at the end of the search."""
        return self.history.last


@dataclass(frozen=True)
class MiLeNAS(Darts):
    """DARTS with the training loss in the gradient of the alphas too."""

    def make_step(self, w_tx: Optimizer, a_tx: Optimizer) -> Step:
        """The mixed-level step of the config's weights and order of moves."""
        config = self.config.search
        return make_milenas_step(
            self.loss,
            w_tx,
            a_tx,
            w_train=config.w_train,
            w_val=config.w_val,
            update=config.update,
            warmup=config.warmup,
            objective=self.aim.objective,
        )


@dataclass(frozen=True)
class Random:
    """Random search with shared weights: the best of some candidates on validation batches."""

    config: Config
    loss: SearchLoss
    history: History
    aim: SearchObjective = ACCURACY  # never another: there is no gradient that it could shape

    def make_step(self, w_tx: Optimizer, a_tx: Optimizer) -> Step:
        """The step that trains the weights along random paths."""
        del a_tx
        return make_random_step(self.loss, w_tx, self.sample)

    def sample(self, key: jax.Array) -> dict[str, jax.Array]:
        """The one-hot logits of a genotype drawn uniformly."""
        return self.history.space.random_alphas(key, nodes=self.config.network.nodes)

    def on_log(self, step: int, alphas: Any, row: Mapping[str, float]) -> bool:
        """Nothing to record before the candidates are ranked."""
        return False

    def conclude(self, key: jax.Array, params: Any, batches: Iterable[Any]) -> Genotype:
        """Ranks the candidates on fixed validation batches and records them, worst first."""
        config = self.config.search
        ranked = rank_candidates(
            key, self.loss, params, self.sample, batches, candidates=config.candidates
        )
        for value, alphas in reversed(ranked):
            weights = jax.device_get(edge_weights(alphas))
            self.history.record(config.steps, weights, {"valid_loss": value})
        return self.history.best


def proxy(config: Config) -> NetworkConfig:
    """The network that is searched: the config's own, or a smaller one with the same cell."""
    smaller = {
        name: value
        for name in ("channels", "cells", "cascades")
        if (value := getattr(config.search, name)) is not None
    }
    return config.network.model_copy(update=smaller)


METHODS = {"darts": Darts, "milenas": MiLeNAS, "random": Random}


def make_history(config: Config) -> History:
    """The empty history of a config's search."""
    asked = config.search
    return History(
        SPACES[config.network.space],
        patience=asked.patience,
        max_skips=asked.max_skips,
        warmup=asked.warmup,
    )


def search_loss(config: Config, net: Supernet, acquisition: AcquisitionConfig) -> SearchLoss:
    """The `supernet_loss` that a config asks for."""
    asked = config.search
    return supernet_loss(net, acquisition, distance=DISTANCES[asked.loss], rows=asked.rows)


def _initial_state(run: Run, net: Supernet, w_tx, a_tx) -> SearchState:
    key = rng.root_key(run.config.seed)
    variables = init_variables(rng.stream(key, "init", 0), net)
    key = rng.stream(key, "search", 0)
    return init_search_state(key, variables["params"], variables["alphas"], w_tx, a_tx)
