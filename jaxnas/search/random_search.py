"""Random search with shared weights (Li and Talwalkar, UAI 2019): the control for DARTS.

The weights are trained with a genotype drawn anew at every step; then candidates drawn uniformly
are ranked by their validation loss under the shared weights. Steps and batches are the same as
for DARTS, so both methods spend the same budget.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core import rng
from jaxnas.core.trees import global_norm
from jaxnas.search.moves import SearchState

Sampler = Callable[[jax.Array], Any]


def make_random_step(
    loss: Callable[..., jax.Array], w_tx: optax.GradientTransformation, sample: Sampler
):
    """Returns step(state, batch): ω ← ω − ∇_ω L_train(ω, α), α one random genotype per step.

    `sample(key)` gives the one-hot logits of a genotype; the state's own alphas never move.
    """

    def step(state: SearchState, batch: Any) -> tuple[SearchState, dict[str, jax.Array]]:
        alphas = sample(rng.stream(state.key, "path", state.step))
        train, g_w = jax.value_and_grad(loss)(
            state.params, alphas, batch["train"], rng.stream(state.key, "train", state.step)
        )
        updates, w_opt = w_tx.update(g_w, state.w_opt, state.params)
        valid = loss(
            state.params, alphas, batch["valid"], rng.stream(state.key, "valid", state.step)
        )
        params = optax.apply_updates(state.params, updates)
        state = replace(state, params=params, w_opt=w_opt, step=state.step + 1)
        metrics = {"train_loss": train, "valid_loss": valid, "w_grad": global_norm(g_w)}
        return state, metrics

    return step


def rank_candidates(
    key: jax.Array,
    loss: Callable[..., jax.Array],
    params: Any,
    sample: Sampler,
    batches: Iterable[Any],
    *,
    candidates: int,
) -> list[tuple[float, Any]]:
    """(mean validation loss, alphas) of `candidates` random genotypes, best first.

    Every candidate sees the same batches and masks; the loss is compiled once.
    """
    evaluate = jax.jit(loss)
    batches = [jax.device_put(batch) for batch in batches]
    ranked = []
    for number in range(candidates):
        alphas = sample(rng.stream(key, "candidate", number))
        losses = [
            evaluate(params, alphas, batch, rng.stream(key, "rank", i))
            for i, batch in enumerate(batches)
        ]
        ranked.append((float(np.mean(jax.device_get(jnp.stack(losses)))), alphas))
    return sorted(ranked, key=lambda pair: pair[0])
