"""MiLeNAS (He et al., CVPR 2020), the search of FedAutoMRI, as a pure step.

    ω ← ω − η_ω ∇_ω L_train(ω, α)
    α ← α − η_α { w_train ∇_α L_train(ω, α) + w_val ∇_α L_valid(ω, α) }        (Eq. 6)

FedAutoMRI's β is `w_val` with w_train = 1; MiLeNAS' code weights the training term instead. The
paper moves both from the same (ω, α); all published code moves α first and then ω with the new α.
"""

from typing import Any

import jax

from jaxnas.core.trees import global_norm
from jaxnas.search.moves import Loss, Optimizer, Step, half_keys, move_alphas, move_weights
from jaxnas.search.state import SearchState


def make_milenas_step(
    loss: Loss,
    w_tx: Optimizer,
    a_tx: Optimizer,
    *,
    w_train: float = 1.0,
    w_val: float = 1.0,
    update: str = "alpha_first",
    warmup: int = 0,
) -> Step:
    """Returns step(state, batch) -> (state, metrics); `loss` as in `search.darts`.

    With `update` "alpha_first" α moves by its gradient at (ω, α), then ω on the same training
    batch by its gradient at (ω, new α): three backward passes. With "simultaneous" both move from
    (ω, α) and share the pass over the training batch: two. During the first `warmup` steps α stays
    where it is. ValueError for any other `update`.
    """
    if update not in UPDATES:
        raise ValueError(f"expected an update out of {sorted(UPDATES)}, found {update!r}")

    def mixed(g_train, g_valid):
        return jax.tree.map(lambda t, v: w_train * t + w_val * v, g_train, g_valid)

    return UPDATES[update](loss, w_tx, a_tx, mixed, warmup)


def _alpha_first(loss, w_tx, a_tx, mixed, warmup) -> Step:
    def step(state: SearchState, batch: Any) -> tuple[SearchState, dict[str, jax.Array]]:
        keys = half_keys(state)
        valid, g_valid = jax.value_and_grad(loss, argnums=1)(
            state.params, state.alphas, batch["valid"], keys["valid"]
        )
        g_train = jax.grad(loss, argnums=1)(
            state.params, state.alphas, batch["train"], keys["train"]
        )
        state = move_alphas(state, mixed(g_train, g_valid), a_tx, warmup=warmup)
        train, g_w = jax.value_and_grad(loss)(
            state.params, state.alphas, batch["train"], keys["train"]
        )
        state = move_weights(state, g_w, w_tx)
        metrics = {"train_loss": train, "valid_loss": valid, "w_grad": global_norm(g_w)}
        return state.replace(step=state.step + 1), metrics

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
        state = move_alphas(state, mixed(g_train, g_valid), a_tx, warmup=warmup)
        metrics = {"train_loss": train, "valid_loss": valid, "w_grad": global_norm(g_w)}
        return state.replace(step=state.step + 1), metrics

    return step


UPDATES = {"alpha_first": _alpha_first, "simultaneous": _simultaneous}
