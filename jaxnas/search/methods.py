"""The methods of a search: how weights and alphas move, and what is found in the end.

A method knows no task and no setting: it sees a `SearchProblem` and the section `search` of a
config that counts in steps.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jax

from jaxnas.engine.optim import make_schedule
from jaxnas.search.darts import make_first_order_step, make_second_order_step
from jaxnas.search.history import History
from jaxnas.search.milenas import make_milenas_step
from jaxnas.search.moves import Optimizer, SearchLoss, Step
from jaxnas.search.objective import ACCURACY, SearchObjective
from jaxnas.search.random_search import make_random_step, rank_candidates
from jaxnas.search.registry import METHODS
from jaxnas.search.section import BilevelConfig
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.space import Space


@dataclass(frozen=True)
class SearchProblem:
    """All that a method takes: a space, the supernet's variables `params` and `alphas` before the
    search, its loss(params, alphas, batch, key), and the objective of the alphas."""

    space: Space
    init: Callable[[jax.Array], Mapping[str, Any]]
    loss: SearchLoss
    objective: SearchObjective = ACCURACY


class SearchMethod(Protocol):
    """A way of searching."""

    @property
    def problem(self) -> SearchProblem:
        """The problem that it was made for."""
        ...

    @property
    def history(self) -> History:
        """The record of its checks."""
        ...

    def make_step(self, config: BilevelConfig, w_tx: Optimizer, a_tx: Optimizer) -> Step:
        """The step(state, batch) of a search whose lengths are those of `config`."""
        ...

    def on_log(self, step: int, alphas: Any, row: Mapping[str, float]) -> bool:
        """Sees the alphas and losses of a check; True ends the search."""
        ...

    def conclude(self, key: jax.Array, params: Any, batches: Iterable[Any]) -> Genotype:
        """The genotype that is found, once all steps are taken; `batches` are validation data."""
        ...


@dataclass(frozen=True)
class _Searching:
    """The parts of every method; the lengths of `config` are counted as those of `history`."""

    config: BilevelConfig
    problem: SearchProblem
    history: History


class Darts(_Searching):
    """Differentiable search: the genotype of the last alphas, stopped early once it is stable."""

    def make_step(self, config: BilevelConfig, w_tx: Optimizer, a_tx: Optimizer) -> Step:
        """The bilevel step of the config's order."""
        loss, total, warmup = self.problem.loss, self.problem.objective.total, config.held()
        if config.order == "second":
            xi = make_schedule(config.weights, config.length)
            return make_second_order_step(loss, w_tx, a_tx, xi=xi, warmup=warmup, objective=total)
        return make_first_order_step(loss, w_tx, a_tx, warmup=warmup, objective=total)

    def on_log(self, step: int, alphas: Any, row: Mapping[str, float]) -> bool:
        """Records the alphas after `step` steps."""
        weights = jax.device_get(_relax(self.problem.space, alphas))
        losses = {name: row[name] for name in ("train_loss", "valid_loss") if name in row}
        self.history.record(step, weights, losses | self.problem.objective.facts(weights))
        return self.history.should_stop

    def conclude(self, key: jax.Array, params: Any, batches: Iterable[Any]) -> Genotype:
        """The genotype at the end of the search."""
        return self.history.last


class MiLeNAS(Darts):
    """DARTS with the training loss in the gradient of the alphas too."""

    def make_step(self, config: BilevelConfig, w_tx: Optimizer, a_tx: Optimizer) -> Step:
        """The mixed-level step of the config's weights and order of moves."""
        return make_milenas_step(
            self.problem.loss,
            w_tx,
            a_tx,
            w_train=config.w_train,
            w_val=config.w_val,
            update=config.update,
            warmup=config.held(),
            objective=self.problem.objective.total,
        )


class Random(_Searching):
    """Random search with shared weights: the best of some candidates on validation batches."""

    def make_step(self, config: BilevelConfig, w_tx: Optimizer, a_tx: Optimizer) -> Step:
        """The step that trains the weights along random paths."""
        del config, a_tx
        return make_random_step(self.problem.loss, w_tx, self.problem.space.random_alphas)

    def on_log(self, step: int, alphas: Any, row: Mapping[str, float]) -> bool:
        """Nothing to record before the candidates are ranked."""
        return False

    def conclude(self, key: jax.Array, params: Any, batches: Iterable[Any]) -> Genotype:
        """Ranks the candidates on fixed validation batches and records them, worst first."""
        problem, config = self.problem, self.config
        ranked = rank_candidates(
            key,
            problem.loss,
            params,
            problem.space.random_alphas,
            batches,
            candidates=config.candidates,
        )
        for value, alphas in reversed(ranked):
            weights = jax.device_get(_relax(problem.space, alphas))
            facts = {"valid_loss": value, **problem.objective.facts(weights)}
            self.history.record(config.length, weights, facts)
        return self.history.best


def make_method(config: BilevelConfig, problem: SearchProblem) -> SearchMethod:
    """The method of a section `search`, with an empty history.

    Its lengths are counted in checks: steps at one site, rounds across clients.
    """
    history = History(
        problem.space,
        patience=config.patience,
        max_skips=config.max_skips,
        warmup=config.held(),
    )
    return METHODS[config.method](config, problem, history)


@functools.partial(jax.jit, static_argnums=0)
def _relax(space: Space, alphas: Any) -> Any:
    return space.relax(alphas)
