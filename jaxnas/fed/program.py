"""The program of one client between two averages, for any way of training or searching."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import optax

from jaxnas.engine.state import Metrics, TrainLoss, init_train_state, make_train_step
from jaxnas.fed.state import ModelTree
from jaxnas.search.moves import Step
from jaxnas.search.state import init_search_state

Penalty = Callable[[ModelTree, Any], jax.Array]


@dataclass(frozen=True)
class Program:
    """Four pure functions on the state of one client, a TrainState or SearchState.

    begin(model, optim, key, step): the state before a round's first local step; `optim` None
      gives fresh moments. Learning-rate schedules, and all draws, go on at `step`.
    step(state, batch, anchor): one local step and its scalar metrics; `anchor` is what the
      strategy compares with.
    model(state): what can be averaged.
    optim(state): what a client keeps of its optimisers where it keeps any.
    """

    begin: Callable[[ModelTree, Any | None, jax.Array, jax.Array], Any]
    step: Callable[[Any, Any, Any], tuple[Any, Metrics]]
    model: Callable[[Any], ModelTree]
    optim: Callable[[Any], Any]


def training_program(
    loss: TrainLoss, tx: optax.GradientTransformation, *, penalty: Penalty | None = None
) -> Program:
    """Training with `loss(params, batch, key) -> (scalar, metrics)`, as at one site.

    `penalty(model, anchor)` is added to the loss, and to the metrics as `penalty`.
    """

    def begin(model, optim, key, step):
        state = init_train_state(key, model["params"], tx)
        opt_state = state.opt_state if optim is None else optim
        return state.replace(opt_state=_at_step(opt_state, step), step=step)

    def step(state, batch, anchor):
        def local_loss(params, batch, key):
            value, metrics = loss(params, batch, key)
            if penalty is None:
                return value, metrics
            extra = penalty({"params": params}, anchor)
            return value + extra, {**metrics, "penalty": extra}

        return make_train_step(local_loss, tx)(state, batch)

    def model(state):
        return {"params": state.params}

    return Program(begin, step, model, lambda state: state.opt_state)


def search_program(
    step: Step, w_tx: optax.GradientTransformation, a_tx: optax.GradientTransformation
) -> Program:
    """A search with any method's `step(state, batch)`; weights and alphas are both averaged."""

    def begin(model, optim, key, count):
        state = init_search_state(key, model["params"], model["alphas"], w_tx, a_tx)
        w_opt, a_opt = (state.w_opt, state.a_opt) if optim is None else optim
        return state.replace(w_opt=_at_step(w_opt, count), a_opt=_at_step(a_opt, count), step=count)

    def local_step(state, batch, anchor):
        del anchor
        return step(state, batch)

    def model(state):
        return {"params": state.params, "alphas": state.alphas}

    return Program(begin, local_step, model, lambda state: (state.w_opt, state.a_opt))


def _at_step(opt_state: optax.OptState, step: jax.Array) -> optax.OptState:
    """The same moments with every schedule at `step`; Adam's own count belongs to its moments."""

    def move(node):
        is_schedule = isinstance(node, optax.ScaleByScheduleState)
        return node._replace(count=step) if is_schedule else node

    return jax.tree.map(
        move, opt_state, is_leaf=lambda node: isinstance(node, optax.ScaleByScheduleState)
    )
