"""Strategies whose server takes a step of an optimiser instead of the average itself.

Reddi et al., "Adaptive federated optimization" (ICLR 2021): what a round has moved on average is a
gradient of the server, and its optimiser has a state of its own. The clients do as in FedAvg.
"""

import jax
import jax.numpy as jnp

from jaxnas.fed import section as schema
from jaxnas.fed.state import ModelTree
from jaxnas.fed.strategy import RoundAverage, Strategy

Moments = dict[str, ModelTree]


def fedavgm(method: schema.FedAvgM) -> Strategy:
    """Hsu et al., "Measuring the effects of non-identical data distribution for federated visual
    classification" (2019): momentum β at the server, with rate η,

        Δ = x − avg,    v ← β v + Δ,    x ← x − η v,    v = 0 before the first round.

    The memory is {"velocity": v}. At β = 0 and η = 1 it is FedAvg, bit by bit.
    """
    beta, rate = method.momentum, method.server_rate

    def init_server(shared: ModelTree, clients: int) -> Moments:
        return {"velocity": jax.tree.map(jnp.zeros_like, shared)}

    def server_update(
        memory: Moments, server: ModelTree, average: RoundAverage, round: jax.Array
    ) -> tuple[Moments, ModelTree]:
        delta = jax.tree.map(lambda x, avg: x - avg, server, average.model)
        velocity = jax.tree.map(lambda v, d: beta * v + d, memory["velocity"], delta)
        # x − η v as avg + (Δ − η v): exact where η v is Δ
        server = jax.tree.map(
            lambda avg, d, v: avg + (d - rate * v), average.model, delta, velocity
        )
        return {"velocity": velocity}, server

    return Strategy(init_server=init_server, server_update=server_update)


def fedadam(method: schema.FedAdam) -> Strategy:
    """Reddi et al., Algorithm 2: Adam at the server, with rate η and adaptivity τ,

        Δ = avg − x,    m ← β₁ m + (1 − β₁) Δ,    v ← β₂ v + (1 − β₂) Δ²,
        x ← x + η m / (√v + τ),    m = 0 and v = τ² before the first round.

    As in the paper no moment is corrected for its beginning. The memory is {"first": m,
    "second": v}.
    """
    beta1, beta2, rate, tau = method.beta1, method.beta2, method.server_rate, method.tau

    def init_server(shared: ModelTree, clients: int) -> Moments:
        return {
            "first": jax.tree.map(jnp.zeros_like, shared),
            "second": jax.tree.map(lambda x: jnp.full_like(x, tau**2), shared),
        }

    def server_update(
        memory: Moments, server: ModelTree, average: RoundAverage, round: jax.Array
    ) -> tuple[Moments, ModelTree]:
        delta = jax.tree.map(lambda avg, x: avg - x, average.model, server)
        first = jax.tree.map(lambda m, d: beta1 * m + (1 - beta1) * d, memory["first"], delta)
        second = jax.tree.map(
            lambda v, d: beta2 * v + (1 - beta2) * jnp.square(d), memory["second"], delta
        )
        server = jax.tree.map(
            lambda x, m, v: x + rate * m / (jnp.sqrt(v) + tau), server, first, second
        )
        return {"first": first, "second": second}, server

    return Strategy(init_server=init_server, server_update=server_update)
