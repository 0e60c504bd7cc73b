"""Everything a search needs to go on; it is also the checkpoint."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct


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
