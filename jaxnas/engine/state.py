"""The state of a training run and the pure step that advances it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxnas.core.rng import stream
from jaxnas.core.trees import global_norm

Metrics = dict[str, jax.Array]
TrainLoss = Callable[[Any, Any, jax.Array], tuple[jax.Array, Metrics]]


@struct.dataclass
class TrainState:
    """Everything a training run needs to go on; also the checkpoint.

    `params` and `opt_state` are pytrees, `step` an int32 scalar (steps done), `key` the typed root
    key of the run. It holds no functions, so two states of equal shape are the same pytree.
    """

    params: Any
    opt_state: optax.OptState
    step: jax.Array
    key: jax.Array


def init_train_state(key: jax.Array, params: Any, tx: optax.GradientTransformation) -> TrainState:
    """The state before the first step; `key` is the root of every random draw of the run."""
    return TrainState(params, tx.init(params), jnp.zeros((), jnp.int32), key)


def make_train_step(
    loss: TrainLoss, tx: optax.GradientTransformation
) -> Callable[[TrainState, Any], tuple[TrainState, Metrics]]:
    """Returns the pure step(state, batch) -> (state, metrics), to be jitted by its caller.

    `loss(params, batch, key)` returns a scalar and a dict of scalars; the metrics are that dict
    with `loss` and `grad_norm`. The key of step t is a pure function of (state.key, t).
    """

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        key = stream(state.key, "train", state.step)
        (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(
            state.params, batch, key
        )
        updates, opt_state = tx.update(gradient, state.opt_state, state.params)
        state = replace(
            state,
            params=optax.apply_updates(state.params, updates),
            opt_state=opt_state,
            step=state.step + 1,
        )
        return state, {"loss": value, **metrics, "grad_norm": global_norm(gradient)}

    return step
