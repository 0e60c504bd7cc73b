"""MiLeNAS (He et al., CVPR 2020), the search of FedAutoMRI, as a pure step.

    ω ← ω − η_ω ∇_ω L_train(ω, α)
    α ← α − η_α { w_train ∇_α L_train(ω, α) + w_val ∇_α L_valid(ω, α) }        (Eq. 6)

FedAutoMRI's β is `w_val` with w_train = 1; MiLeNAS' code weights the training term instead. The
paper moves both from the same (ω, α); all published code moves α first and then ω with the new α.
"""

from dataclasses import replace
from typing import Any

import jax

from jaxnas.core.trees import global_norm
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


def make_milenas_step(
    loss: SearchLoss,
    w_tx: Optimizer,
    a_tx: Optimizer,
    *,
    w_train: float = 1.0,
    w_val: float = 1.0,
    update: str = "alpha_first",
    warmup: int = 0,
    objective: Objective = accuracy,
) -> Step:
    """Returns step(state, batch) -> (state, metrics); `loss` as in `search.darts`.

    α moves by the gradient of the `objective` of the mixed loss w_train L_train + w_val L_valid.
    With `update` "alpha_first" α moves by its gradient at (ω, α), then ω on the same training
    batch by its gradient at (ω, new α): three backward passes. With "simultaneous" both move from
    (ω, α) and share the pass over the training batch: two. During the first `warmup` steps α stays
    where it is. ValueError for any other `update`.
    """
    if update not in UPDATES:
        raise ValueError(f"expected an update out of {sorted(UPDATES)}, found {update!r}")

    def mixed(alphas, train, valid):
        """The gradient of the objective, from values and gradients of both halves."""
        value, gradient = jax.tree.map(lambda t, v: w_train * t + w_val * v, train, valid)
        return objective_gradient(objective, value, gradient, alphas)

    return UPDATES[update](loss, w_tx, a_tx, mixed, warmup)


def _alpha_first(loss, w_tx, a_tx, mixed, warmup) -> Step:
    def step(state: SearchState, batch: Any) -> tuple[SearchState, dict[str, jax.Array]]:
        keys = half_keys(state)
        halves = {
            half: jax.value_and_grad(loss, argnums=1)(
                state.params, state.alphas, batch[half], keys[half]
            )
            for half in ("train", "valid")
        }
        state = move_alphas(state, mixed(state.alphas, **halves), a_tx, warmup=warmup)
        valid, _ = halves["valid"]
        train, g_w = jax.value_and_grad(loss)(
            state.params, state.alphas, batch["train"], keys["train"]
        )
        state = move_weights(state, g_w, w_tx)
        metrics = {"train_loss": train, "valid_loss": valid, "w_grad": global_norm(g_w)}
        return replace(state, step=state.step + 1), metrics

    return step


def _simultaneous(loss, w_tx, a_tx, mixed, warmup) -> Step:
    def step(state: SearchState, batch: Any) -> tuple[SearchState, dict[str, jax.Array]]:
        keys = half_keys(state)
        train, (g_w, g_train) = jax.value_and_grad(loss, argnums=(0, 1))(
            state.params, state.alphas, batch["train"], keys["train"]
        )
        valid, g_valid = jax.value_and_grad(loss, argnums=1)(
            state.params, state.alphas, batch["valid"], keys["valid"]
        )
        state = move_weights(state, g_w, w_tx)
        g_a = mixed(state.alphas, (train, g_train), (valid, g_valid))
        state = move_alphas(state, g_a, a_tx, warmup=warmup)
        metrics = {"train_loss": train, "valid_loss": valid, "w_grad": global_norm(g_w)}
        return replace(state, step=state.step + 1), metrics

    return step


UPDATES = {"alpha_first": _alpha_first, "simultaneous": _simultaneous}
