"""DARTS (Liu et al., ICLR 2019) as pure steps: `step(state, batch) -> (state, metrics)`.

A batch has the halves `train` (for the weights ω) and `valid` (for the logits α), drawn from
disjoint volumes. `loss(params, alphas, batch, key)` is a scalar. As in NAS-CSMRI III.B.4 a step
first moves ω, then α.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnas.core.trees import add_up, global_norm
from jaxnas.search.moves import (
    Objective,
    Optimizer,
    SearchLoss,
    SearchState,
    Step,
    accuracy,
    half_keys,
    move_alphas,
    move_weights,
    objective_gradient,
)


def make_first_order_step(
    loss: SearchLoss,
    w_tx: Optimizer,
    a_tx: Optimizer,
    *,
    warmup: int = 0,
    objective: Objective = accuracy,
) -> Step:
    """ω ← ω − ∇_ω L_train(ω, α), then α ← α − ∇_α O(L_valid(ω, α), α), O being the `objective`.

    During the first `warmup` steps α stays where it is.
    """

    def alpha_gradient(state, batch, keys):
        return jax.value_and_grad(loss, argnums=1)(
            state.params, state.alphas, batch["valid"], keys["valid"]
        )

    return _make_step(loss, w_tx, a_tx, alpha_gradient, warmup, objective)


def make_second_order_step(
    loss: SearchLoss,
    w_tx: Optimizer,
    a_tx: Optimizer,
    *,
    xi: optax.Schedule,
    warmup: int = 0,
    objective: Objective = accuracy,
) -> Step:
    """The step of first order, but with the exact gradient of the unrolled objective for α.

    ξ = `xi(t)` is how far step t looks ahead, the rate of the weights at that step. With ω' =
    ω − ξ ∇_ω L_train(ω, α) the gradient of L_valid(ω', α) with respect to α is
        ∇_α L_valid(ω', α) − ξ ∇²_{α,ω} L_train(ω, α) · ∇_ω' L_valid(ω', α),
    whose last term is an exact Hessian-vector product, not a finite difference.
    """

    def alpha_gradient(state, batch, keys):
        def weight_gradient(alphas):
            return jax.grad(loss)(state.params, alphas, batch["train"], keys["train"])

        rate = xi(state.step)
        # ω' = ω − ξ ∇_ω L_train(ω, α)
        ahead = jax.tree.map(lambda w, g: w - rate * g, state.params, weight_gradient(state.alphas))
        value, (v, direct) = jax.value_and_grad(loss, argnums=(0, 1))(
            ahead, state.alphas, batch["valid"], keys["valid"]
        )

        def directional(alphas):  # ⟨∇_ω L_train(ω, α), v⟩
            products = jax.tree.map(jnp.vdot, weight_gradient(alphas), v)
            return add_up(jax.tree.leaves(products))

        mixed = jax.grad(directional)(state.alphas)
        return value, jax.tree.map(lambda d, m: d - rate * m, direct, mixed)

    return _make_step(loss, w_tx, a_tx, alpha_gradient, warmup, objective)


def _make_step(loss, w_tx, a_tx, alpha_gradient, warmup, objective) -> Step:
    """The alternation common to both orders."""

    def step(state: SearchState, batch: Any) -> tuple[SearchState, dict[str, jax.Array]]:
        keys = half_keys(state)
        train, g_w = jax.value_and_grad(loss)(
            state.params, state.alphas, batch["train"], keys["train"]
        )
        state = move_weights(state, g_w, w_tx)
        valid, g_a = alpha_gradient(state, batch, keys)
        g_a = objective_gradient(objective, valid, g_a, state.alphas)
        state = move_alphas(state, g_a, a_tx, warmup=warmup)
        metrics = {"train_loss": train, "valid_loss": valid, "w_grad": global_norm(g_w)}
        return replace(state, step=state.step + 1), metrics

    return step
