"""DARTS (Liu et al., ICLR 2019) as pure steps: `step(state, batch) -> (state, metrics)`.

A batch has the halves `train` (for the weights ω) and `valid` (for the logits α), drawn from
disjoint volumes. `loss(params, alphas, batch, key)` is a scalar. As in NAS-CSMRI III.B.4 a step
first moves ω, then α.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnas.core import rng
from jaxnas.core.trees import global_norm
from jaxnas.search.state import SearchState

Loss = Callable[[Any, Any, Any, jax.Array], jax.Array]
Step = Callable[[SearchState, Any], tuple[SearchState, dict[str, jax.Array]]]


def make_first_order_step(
    loss: Loss,
    w_tx: optax.GradientTransformation,
    a_tx: optax.GradientTransformation,
    *,
    warmup: int = 0,
) -> Step:
    """ω ← ω − ∇_ω L_train(ω, α), then α ← α − ∇_α L_valid(ω, α).

    During the first `warmup` steps α stays where it is.
    """

    def alpha_gradient(state, params, batch, keys):
        return jax.value_and_grad(loss, argnums=1)(
            params, state.alphas, batch["valid"], keys["valid"]
        )

    return _make_step(loss, w_tx, a_tx, alpha_gradient, warmup)


def make_second_order_step(
    loss: Loss,
    w_tx: optax.GradientTransformation,
    a_tx: optax.GradientTransformation,
    *,
    xi: float,
    warmup: int = 0,
) -> Step:
    """As the first order, with the exact gradient of the unrolled objective for α.

    With ω' = ω − ξ ∇_ω L_train(ω, α) the gradient of L_valid(ω', α) with respect to α is
        ∇_α L_valid(ω', α) − ξ ∇²_{α,ω} L_train(ω, α) · ∇_ω' L_valid(ω', α),
    whose last term is an exact Hessian-vector product, not a finite difference.
    """

    def alpha_gradient(state, params, batch, keys):
        def weight_gradient(alphas):
            return jax.grad(loss)(params, alphas, batch["train"], keys["train"])

        # ω' = ω − ξ ∇_ω L_train(ω, α)
        ahead = jax.tree.map(lambda w, g: w - xi * g, params, weight_gradient(state.alphas))
        value, (v, direct) = jax.value_and_grad(loss, argnums=(0, 1))(
            ahead, state.alphas, batch["valid"], keys["valid"]
        )

        def directional(alphas):  # ⟨∇_ω L_train(ω, α), v⟩
            products = jax.tree.map(jnp.vdot, weight_gradient(alphas), v)
            return sum(jax.tree.leaves(products))

        mixed = jax.grad(directional)(state.alphas)
        return value, jax.tree.map(lambda d, m: d - xi * m, direct, mixed)

    return _make_step(loss, w_tx, a_tx, alpha_gradient, warmup)


def _make_step(loss, w_tx, a_tx, alpha_gradient, warmup) -> Step:
    """The alternation common to both orders."""

    def step(state: SearchState, batch: Any) -> tuple[SearchState, dict[str, jax.Array]]:
        keys = {name: rng.stream(state.key, name, state.step) for name in ("train", "valid")}
        train, g_w = jax.value_and_grad(loss)(
            state.params, state.alphas, batch["train"], keys["train"]
        )
        updates, w_opt = w_tx.update(g_w, state.w_opt, state.params)
        params = optax.apply_updates(state.params, updates)

        valid, g_a = alpha_gradient(state, params, batch, keys)
        updates, a_opt = a_tx.update(g_a, state.a_opt, state.alphas)
        moving = jnp.where(state.step < warmup, 0.0, 1.0)
        alphas = jax.tree.map(lambda a, u: a + moving * u, state.alphas, updates)

        metrics = {"train_loss": train, "valid_loss": valid, "w_grad": global_norm(g_w)}
        state = state.replace(
            params=params, alphas=alphas, w_opt=w_opt, a_opt=a_opt, step=state.step + 1
        )
        return state, metrics

    return step
