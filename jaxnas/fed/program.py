"""The local part of a round, between two averages, for any way of training or searching."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import optax

from jaxnas.engine.step import Metrics, TrainLoss, init_train_state, make_train_step
from jaxnas.fed.state import ModelTree
from jaxnas.fed.strategy import Penalty
from jaxnas.search.moves import Step, init_search_state

MakeStep = Callable[[optax.GradientTransformation, optax.GradientTransformation], Step]


@dataclass(frozen=True)
class Program:
    """Pure functions on the state of one client, a TrainState or SearchState.

    begin(model, optim, key, step): the state before a round's first local step; `optim` None
      gives fresh moments. Learning-rate schedules, and all draws, go on at `step`.
    step(state, batch, own, broadcast): one local step and its scalar metrics; the penalty of the
      strategy compares with what it remembers at this client and with what the server sent.
    model(state): what can be averaged.
    optim(state): what a client keeps of its optimisers where it keeps any.
    rate(step): the learning rate of a local step; None where it is not known.
    """

    begin: Callable[[ModelTree, Any | None, jax.Array, jax.Array], Any]
    step: Callable[[Any, Any, Any, Any], tuple[Any, Metrics]]
    model: Callable[[Any], ModelTree]
    optim: Callable[[Any], Any]
    rate: optax.Schedule | None = None


def training_program(
    loss: TrainLoss,
    tx: optax.GradientTransformation,
    *,
    penalty: Penalty | None = None,
    rate: optax.Schedule | None = None,
) -> Program:
    """Training with `loss(params, batch, key) -> (scalar, metrics)`, as at one site.

    `penalty(model, own, broadcast)` is added to the loss, and to the metrics as `penalty`; `rate`
    is the learning rate of `tx`, for strategies that ask for it.
    """

    def begin(model, optim, key, step):
        state = init_train_state(key, model["params"], tx)
        opt_state = state.opt_state if optim is None else optim
        return replace(state, opt_state=_at_step(opt_state, step), step=step)

    def step(state, batch, own, broadcast):
        def local_loss(params, batch, key):
            value, metrics = loss(params, batch, key)
            if penalty is None:
                return value, metrics
            extra = penalty({"params": params}, own, broadcast)
            return value + extra, {**metrics, "penalty": extra}

        return make_train_step(local_loss, tx)(state, batch)

    def model(state):
        return {"params": state.params}

    return Program(begin, step, model, lambda state: state.opt_state, rate)


def search_program(
    make_step: MakeStep,
    w_tx: optax.GradientTransformation,
    a_tx: optax.GradientTransformation,
    *,
    penalty: Penalty | None = None,
) -> Program:
    """A search with any method's step, `make_step(w_tx, a_tx)`; weights and alphas are averaged.

    The gradient of `penalty(model, own, broadcast)` is added once to that of the weights, and once
    to that of the alphas, however many losses a method makes these of, and before they are clipped;
    the metrics have its value before the step as `penalty`. Either is taken with the other where
    the step begins, and a second order looks ahead along the loss alone.
    """
    plain = make_step(w_tx, a_tx)

    def begin(model, optim, key, count):
        state = init_search_state(key, model["params"], model["alphas"], w_tx, a_tx)
        w_opt, a_opt = (state.w_opt, state.a_opt) if optim is None else optim
        return replace(
            state, w_opt=_at_step(w_opt, count), a_opt=_at_step(a_opt, count), step=count
        )

    def local_step(state, batch, own, broadcast):
        if (extra_loss := penalty) is None:
            return plain(state, batch)

        def pull(params: Any, alphas: Any) -> jax.Array:
            return extra_loss({"params": params, "alphas": alphas}, own, broadcast)

        step = make_step(
            _pulled(w_tx, lambda params: pull(params, state.alphas)),
            _pulled(a_tx, lambda alphas: pull(state.params, alphas)),
        )
        extra = pull(state.params, state.alphas)
        state, metrics = step(state, batch)
        return state, {**metrics, "penalty": extra}

    def model(state):
        return {"params": state.params, "alphas": state.alphas}

    return Program(begin, local_step, model, lambda state: (state.w_opt, state.a_opt))


def _pulled(
    tx: optax.GradientTransformation, pull: Callable[[Any], jax.Array]
) -> optax.GradientTransformation:
    """`tx` of a gradient with that of `pull(parameters)` added; its state is that of `tx`."""

    def update(updates, state, params=None):
        gradient = jax.tree.map(lambda g, p: g + p, updates, jax.grad(pull)(params))
        return tx.update(gradient, state, params)

    return optax.GradientTransformation(tx.init, update)


def _at_step(opt_state: optax.OptState, step: jax.Array) -> optax.OptState:
    """The same moments with every schedule at `step`; Adam's own count belongs to its moments."""

    def move(node):
        is_schedule = isinstance(node, optax.ScaleByScheduleState)
        return node._replace(count=step) if is_schedule else node

    return jax.tree.map(
        move, opt_state, is_leaf=lambda node: isinstance(node, optax.ScaleByScheduleState)
    )
