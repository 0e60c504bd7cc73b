"""The strategies by name, and those whose server averages or takes a step of an optimiser.

Each fills in what its paper decides of the contract (`fed.strategy`); the round itself is the same
for all (`fed.rounds`). Of a server with an optimiser (Reddi et al., "Adaptive federated
optimization", ICLR 2021) what a round has moved on average is a gradient, and its optimiser has a
state of its own; the clients do as in FedAvg.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnas.core.trees import add_up
from jaxnas.fed import ema
from jaxnas.fed import section as schema
from jaxnas.fed.registry import STRATEGIES
from jaxnas.fed.state import EVERYTHING, NO_PATHS, ModelTree, Paths, select
from jaxnas.fed.strategy import Broadcast, RoundAverage, Strategy

Moments = dict[str, ModelTree]


def build_strategy(method: Any) -> Strategy:
    """The strategy of a config's method, or of its search; ValueError for one that is not in
    `STRATEGIES`."""
    if method.strategy not in STRATEGIES:
        raise ValueError(
            f"unknown strategy {method.strategy!r}; expected one of {', '.join(STRATEGIES)}"
        )
    if hasattr(method, "build"):
        return method.build()
    return STRATEGIES[method.strategy](method)


def non_fed(method: schema.NonFed) -> Strategy:
    """Every client trains alone: nothing is shared, everything held."""
    return Strategy(shared=NO_PATHS, held=EVERYTHING)


def fedavg(method: schema.FedAvg) -> Strategy:
    """McMahan et al., "Communication-efficient learning of deep networks" (AISTATS 2017)."""
    return Strategy()


def fedprox(method: schema.FedProx) -> Strategy:
    """Li et al., "Federated optimization in heterogeneous networks" (MLSys 2020): the loss gets

    μ/2 ‖ω − ωᵗ‖², the sum over all leaves, with ωᵗ what the server sent.
    """

    def penalty(model: ModelTree, own: Any, broadcast: Broadcast) -> jax.Array:
        squares = jax.tree.map(lambda w, x: jnp.sum(jnp.square(w - x)), model, broadcast.model)
        return 0.5 * method.mu * add_up(jax.tree.leaves(squares))

    return Strategy(penalty=penalty)


# What FedMRI shares by default. U-nets: the path down and the bottom. All others: all but the
# last layers, and λ.
_U_NET = ("params/denoiser/down*", "params/denoiser/bottom/*")
_BODY = ("params/*", "!params/*tail/*", "!params/log_lam", "!params/head*")
ENCODERS = {
    "fastmri_unet": _U_NET,
    "unet": _U_NET,
    "unet2d": ("params/down*", "params/bottom/*"),
}


def fedmri(method: schema.FedMRI) -> Strategy:
    """Feng et al., "Specificity-preserving federated learning for MR image reconstruction"
    (TMI 2023): a shared encoder θ, local decoders, and from the second round on in the loss

    β Σ ‖θ_c − θ_S‖₁ / (Σ_k Σ ‖θ_c − θ_k‖₁ + 10⁻¹⁴),

    where θ_S is what the server sent and θ_k what each client, c itself included, last sent.
    """
    shared = Paths(method.shared or ENCODERS.get(method.model, _BODY))

    def init_server(encoder: ModelTree, clients: int) -> ModelTree:
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (clients, *x.shape)), encoder)

    def record(memory: ModelTree, rows: jax.Array, models: ModelTree) -> ModelTree:
        return jax.tree.map(lambda x, new: x.at[rows].set(new, mode="drop"), memory, models)

    def penalty(model: ModelTree, own: Any, broadcast: Broadcast) -> jax.Array:
        broadcast, encoder = jax.lax.stop_gradient(broadcast), select(model, shared)
        # In the first round nobody has sent anything yet.
        beta = jnp.where(broadcast.round > 0, method.beta, 0.0)
        to_server = _distance(encoder, broadcast.model)
        to_previous = _distance(jax.tree.map(lambda x: x[None], encoder), broadcast.extra)
        return beta * to_server / (to_previous + 1e-14)

    return Strategy(
        shared=shared,
        held=lambda path: not shared(path),
        init_server=init_server,
        broadcast=lambda memory, server, round: memory,
        record=record,
        penalty=penalty,
    )


def fedautomri(method: schema.FedAutoMRI) -> Strategy:
    """Wu et al., "FedAutoMRI" (2023): FedAvg with a moving average after every round, Eq. 7."""
    if method.ema == "mix":
        return Strategy(held=EVERYTHING, start=ema.mixed(method.gamma))
    smooth = _AVERAGES[method.ema](method.gamma)

    def server_update(
        memory: Any, server: ModelTree, average: RoundAverage, round: jax.Array
    ) -> tuple[Any, ModelTree]:
        return memory, smooth(server, average.model, round)

    return Strategy(server_update=server_update)


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


def _distance(a: ModelTree, b: ModelTree) -> jax.Array:
    """Σ |a − b| over all leaves."""

    def absolute(x: jax.Array, y: jax.Array) -> jax.Array:
        # The gradient of jnp.abs at 0 is 1, and clients begin where the server is: with it every
        # first local step would drift.
        return jnp.sum((x - y) * jax.lax.stop_gradient(jnp.sign(x - y)))

    return add_up(jax.tree.leaves(jax.tree.map(absolute, a, b)))


_AVERAGES = {"debiased": ema.debiased, "plain": ema.plain, "printed": ema.printed}
