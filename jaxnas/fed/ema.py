"""Exponential moving averages of the server's model: four readings of Eq. 7 of FedAutoMRI.

    ω_c^t = (γ ω_c^(t−1) + (1 − γ) W^t) / (1 − γ^t)

is printed there, with W^t the average after round t = 1, 2, … and clients that go on from ω_c^t.

* `debiased`: m^t = γ m^(t−1) + (1 − γ) W^t with m⁰ = 0 and ω^t = m^t / (1 − γ^t), as in Adam:
  W^s has the weight (1 − γ) γ^(t−s) / (1 − γ^t), and these sum to one.
* `plain`: ω^t = γ ω^(t−1) + (1 − γ) W^t from the initial weights ω⁰.
* `printed`: the equation as it stands, from ω⁰ = 0. It divides what was divided before: a model
  that stands still grows 103 times in five rounds at γ = 0.9, and hardly at γ ≤ 0.5.
* `mix`: ω_c^t = γ · (client c's own weights before the average) + (1 − γ) W^t, the only reading in
  which clients differ (see `mixed`).

None needs a state beside the model itself, and all are the average alone at γ = 0, bit by bit.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnas.core.notices import warn
from jaxnas.fed.state import ModelTree

Smoothing = Callable[[ModelTree, ModelTree, jax.Array], ModelTree]
STABLE_GAMMA = 0.5  # the printed recursion amplifies by 1.33 at most


def debiased(gamma: float) -> Smoothing:
    """Returns smooth(server, average, round) → server, with rounds counted from 0.

    The recursion in ω itself, ω^t = W^t + b_t (ω^(t−1) − W^t) with
    b_t = γ (1 − γ^(t−1)) / (1 − γ^t), never divides a small moment by a small number.
    """

    def smooth(server, average, round):
        share = gamma * _missing(gamma, round) / _missing(gamma, round + 1)
        return _towards(average, server, share)

    return smooth


def plain(gamma: float) -> Smoothing:
    """Returns smooth(server, average, round) → γ server + (1 − γ) average."""
    return lambda server, average, round: _towards(average, server, gamma)


def printed(gamma: float) -> Smoothing:
    """Returns smooth(server, average, round) of the printed equation; warns above γ = 0.5."""
    if gamma > STABLE_GAMMA:
        warn(
            f"ema: printed with gamma {gamma} amplifies the weights from round to round; use "
            f"debiased, or a gamma of at most {STABLE_GAMMA}"
        )

    def smooth(server, average, round):
        past = jnp.where(round == 0, 0.0, gamma)
        scale = _missing(gamma, round + 1)
        return jax.tree.map(lambda w, a: (past * w + (1 - gamma) * a) / scale, server, average)

    return smooth


def mixed(gamma: float) -> Callable[[ModelTree, ModelTree], ModelTree]:
    """Returns start(server, own): γ own + (1 − γ) server, leaf by leaf."""
    return lambda server, own: _towards(server, own, gamma)


def _missing(gamma: float, rounds: jax.Array) -> jax.Array:
    """1 − γ^rounds without cancellation; a float32 scalar."""
    if gamma == 0.0:
        return jnp.where(rounds > 0, 1.0, 0.0)
    return -jnp.expm1(rounds * math.log(gamma))


def _towards(origin: ModelTree, other: ModelTree, share: jax.Array | float) -> ModelTree:
    """origin + share · (other − origin): exact where share is 0, and where both are equal."""
    return jax.tree.map(lambda a, b: a + share * (b - a), origin, other)
