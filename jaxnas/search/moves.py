"""The parts of every bilevel search: its state, a move of the weights ω and a move of the logits α.

A batch has the halves `train` and `valid`, drawn from disjoint volumes. Each move has its own
optimiser, hence its own clipping: that of one never sees the gradient of the other.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxnas.core import rng

SearchLoss = Callable[
    [Any, Any, Any, jax.Array], jax.Array
]  # (params, alphas, batch, key) → scalar
Objective = Callable[[jax.Array, Any], jax.Array]  # (accuracy loss, alphas) → scalar
Optimizer = optax.GradientTransformation


@struct.dataclass
class SearchState:
    """Weights ω, logits α, both optimisers' states, the step (int32) and the root key."""

    params: Any
    alphas: Any
    w_opt: optax.OptState
    a_opt: optax.OptState
    step: jax.Array
    key: jax.Array


def init_search_state(
    key: jax.Array,
    params: Any,
    alphas: Any,
    w_tx: optax.GradientTransformation,
    a_tx: optax.GradientTransformation,
) -> SearchState:
    """The state at step 0."""
    return SearchState(
        params=params,
        alphas=alphas,
        w_opt=w_tx.init(params),
        a_opt=a_tx.init(alphas),
        step=jnp.zeros((), jnp.int32),
        key=key,
    )


Step = Callable[[SearchState, Any], tuple[SearchState, dict[str, jax.Array]]]


def accuracy(loss: jax.Array, alphas: Any) -> jax.Array:
    """The objective of a search for accuracy alone."""
    del alphas
    return loss


def objective_gradient(objective: Objective, loss: jax.Array, gradient: Any, alphas: Any) -> Any:
    """∇_α O(L(α), α) = ∂O/∂L ∇_α L + ∂O/∂α, from the value L and its gradient.

    So what a search is for, such as accuracy under a latency budget (RT-DNAS, Eq. 2), is one
    function beside the loss, and weights never see it.
    """
    by_loss, by_alphas = jax.grad(objective, argnums=(0, 1))(loss, alphas)
    return jax.tree.map(lambda g, a: by_loss * g + a, gradient, by_alphas)


def half_keys(state: SearchState) -> dict[str, jax.Array]:
    """The keys of the halves of this step's batch: a half has the same masks in every pass."""
    return {name: rng.stream(state.key, name, state.step) for name in ("train", "valid")}


def move_weights(state: SearchState, gradient: Any, w_tx: Optimizer) -> SearchState:
    """ω after one update of `w_tx` by the gradient with respect to ω."""
    updates, w_opt = w_tx.update(gradient, state.w_opt, state.params)
    return replace(state, params=optax.apply_updates(state.params, updates), w_opt=w_opt)


def move_alphas(state: SearchState, gradient: Any, a_tx: Optimizer, *, warmup: int) -> SearchState:
    """α after one update of `a_tx`; where it was during the first `warmup` steps."""
    updates, a_opt = a_tx.update(gradient, state.a_opt, state.alphas)
    moving = jnp.where(state.step < warmup, 0.0, 1.0)
    alphas = jax.tree.map(lambda a, u: a + moving * u, state.alphas, updates)
    return replace(state, alphas=alphas, a_opt=a_opt)
