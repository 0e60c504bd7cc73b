"""The strategies: what of a model is shared, what a client adds to its loss, and what the server
makes of an average. The round itself is the same for all (`fed.rounds`)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxnas.core import federated_schema as schema
from jaxnas.fed import ema
from jaxnas.fed.paths import EVERYTHING, NO_PATHS, Paths, merge_trees, select
from jaxnas.fed.program import Penalty
from jaxnas.fed.state import ModelTree


def _no_memory(shared: ModelTree, clients: int) -> Any:
    return {}


def _forget(memory: Any, rows: jax.Array, uploads: ModelTree) -> Any:
    return memory


def _no_anchor(server: ModelTree, memory: Any, number: jax.Array) -> Any:
    return {}


def _average(server: ModelTree, average: ModelTree, number: jax.Array) -> ModelTree:
    return average


@dataclass(frozen=True)
class Strategy:
    """The decisions of a strategy; where it makes none it is FedAvg. All functions are pure.

    shared(path): whether a leaf is sent and averaged.
    held(path): whether a client keeps a leaf of its own from round to round.
    start(server, held): the whole model a client begins a round with.
    init_memory(shared, clients), note(memory, rows, uploads): what the server remembers of the
      shared leaves that arrive, and sends along with its model. `uploads` are stacked (k, ...),
      `rows` int (k,) are their clients; rows past the last client are to be dropped.
    anchor(server, memory, number), penalty(model, anchor): what is added to the loss of every
      local step of round `number`; `penalty` belongs to the `Program`.
    settle(server, average, number): the server's next model, given its last one.
    """

    shared: Paths = EVERYTHING
    held: Callable[[str], bool] = NO_PATHS
    start: Callable[[ModelTree, ModelTree], ModelTree] = merge_trees
    init_memory: Callable[[ModelTree, int], Any] = _no_memory
    note: Callable[[Any, jax.Array, ModelTree], Any] = _forget
    anchor: Callable[[ModelTree, Any, jax.Array], Any] = _no_anchor
    penalty: Penalty | None = None
    settle: ema.Settle = _average


def build_strategy(method: schema.Method) -> Strategy:
    """The strategy of a config's method; ValueError for one that is not in `STRATEGIES`."""
    if method.strategy not in STRATEGIES:
        raise ValueError(
            f"unknown strategy {method.strategy!r}; expected one of {', '.join(STRATEGIES)}"
        )
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

    def penalty(model: ModelTree, anchor: ModelTree) -> jax.Array:
        squares = jax.tree.map(lambda w, a: jnp.sum(jnp.square(w - a)), model, anchor)
        return 0.5 * method.mu * sum(jax.tree.leaves(squares))

    return Strategy(anchor=lambda server, memory, number: server, penalty=penalty)


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

    def init_memory(encoder: ModelTree, clients: int) -> ModelTree:
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (clients, *x.shape)), encoder)

    def note(memory: ModelTree, rows: jax.Array, uploads: ModelTree) -> ModelTree:
        return jax.tree.map(lambda x, new: x.at[rows].set(new, mode="drop"), memory, uploads)

    def anchor(server: ModelTree, memory: ModelTree, number: jax.Array) -> dict[str, Any]:
        # In the first round nobody has sent anything yet.
        return {
            "server": server,
            "previous": memory,
            "beta": jnp.where(number > 0, method.beta, 0.0),
        }

    def penalty(model: ModelTree, anchor: dict[str, Any]) -> jax.Array:
        anchor, encoder = jax.lax.stop_gradient(anchor), select(model, shared)
        to_server = _distance(encoder, anchor["server"])
        to_previous = _distance(jax.tree.map(lambda x: x[None], encoder), anchor["previous"])
        return anchor["beta"] * to_server / (to_previous + 1e-14)

    return Strategy(
        shared=shared,
        held=lambda path: not shared(path),
        init_memory=init_memory,
        note=note,
        anchor=anchor,
        penalty=penalty,
    )


def fedautomri(method: schema.FedAutoMRI) -> Strategy:
    """Wu et al., "FedAutoMRI" (2023): FedAvg with a moving average after every round, Eq. 7."""
    if method.ema == "mix":
        return Strategy(held=EVERYTHING, start=ema.mixed(method.gamma))
    return Strategy(settle=_AVERAGES[method.ema](method.gamma))


def _distance(a: ModelTree, b: ModelTree) -> jax.Array:
    """Σ |a − b| over all leaves."""

    def absolute(x: jax.Array, y: jax.Array) -> jax.Array:
        # The gradient of jnp.abs at 0 is 1, and clients begin where the server is: with it every
        # first local step would drift.
        return jnp.sum((x - y) * jax.lax.stop_gradient(jnp.sign(x - y)))

    return sum(jax.tree.leaves(jax.tree.map(absolute, a, b)))


_AVERAGES = {"debiased": ema.debiased, "plain": ema.plain, "printed": ema.printed}
STRATEGIES: dict[str, Callable[[Any], Strategy]] = {
    "non_fed": non_fed,
    "fedavg": fedavg,
    "fedprox": fedprox,
    "fedmri": fedmri,
    "fedautomri": fedautomri,
}
