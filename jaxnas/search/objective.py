"""The aim of a search: accuracy, or accuracy and latency in one loss under a budget (Eq. 2)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxnas.search.moves import Objective, accuracy
from jaxnas.search.section import LatencyBudget

Latency = Callable[[Mapping[str, Any]], jax.Array]  # softmaxed weights → ms of one frame


@dataclass(frozen=True)
class SearchObjective:
    """The objective of a search: `total(loss, alphas)`, a float32 scalar, is what moves the alphas,
    `latency(weights)` in ms is noted beside it; None where it is unknown."""

    total: Objective = accuracy
    latency: Latency | None = None

    def facts(self, weights: Mapping[str, Any]) -> dict[str, float]:
        """The facts that a history notes of softmaxed weights beside the losses."""
        return {} if self.latency is None else {"latency_ms": float(self.latency(weights))}


ACCURACY = SearchObjective()


@dataclass(frozen=True)
class LatencyObjective:
    """The terms of Eq. 2 and of the two regularisers; `mode` is a name of LATENCY_OBJECTIVES.

    `budget_ms` is L_ub. `weight` is λ. `reference_ms` (None: the budget) makes the latency factor
    dimensionless, `tau_ms` the exponent; above `knee` the exponential goes on as its tangent.
    `exponent` is β of `mul_log`. ValueError for a name or a number that cannot be.
    """

    mode: str = "stable"
    budget_ms: float = 50.0
    weight: float = 1.0
    reference_ms: float | None = None
    tau_ms: float = 1.0
    knee: float = 3.0
    exponent: float = 0.6

    def __post_init__(self) -> None:
        if self.mode not in LATENCY_OBJECTIVES:
            raise ValueError(
                f"mode is {self.mode!r}; expected one of {', '.join(LATENCY_OBJECTIVES)}"
            )
        for name in ("budget_ms", "tau_ms", "reference"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected more than 0")

    @property
    def reference(self) -> float:
        """L_ref in ms."""
        return self.budget_ms if self.reference_ms is None else self.reference_ms


Terms = tuple[jax.Array, jax.Array]  # latency factor of the accuracy loss, what is added


def _excess(latency: jax.Array, o: LatencyObjective) -> jax.Array:
    # exp(min(z, z0)) · (1 + max(z − z0, 0)): exp below the knee, above it the tangent at the knee.
    z = (latency - o.budget_ms) / o.tau_ms
    return o.weight * jnp.exp(jnp.minimum(z, o.knee)) * (1.0 + jnp.maximum(z - o.knee, 0.0))


def _stable(latency: jax.Array, o: LatencyObjective) -> Terms:
    return latency / o.reference, _excess(latency, o)


def _bound(latency: jax.Array, o: LatencyObjective) -> Terms:
    return jnp.ones_like(latency), _excess(latency, o)


def _exp(latency: jax.Array, o: LatencyObjective) -> Terms:
    return latency, o.weight * jnp.exp(latency - o.budget_ms)


def _add_linear(latency: jax.Array, o: LatencyObjective) -> Terms:
    return jnp.ones_like(latency), o.weight * (latency - o.reference) / o.reference


def _mul_log(latency: jax.Array, o: LatencyObjective) -> Terms:
    # In microseconds: the logarithm of a latency below 1 ms is negative and has no real power.
    ratio = jnp.log(1e3 * latency) / jnp.log(1e3 * o.reference)
    return o.weight * ratio**o.exponent, jnp.zeros_like(latency)


# `stable`     L_a · L_t/L_ref + λ exp((L_t − L_ub)/τ), linear above the knee
# `bound`      L_a + λ exp((L_t − L_ub)/τ), likewise: well below the budget latency is free
# `exp`        L_a · L_t + λ exp(L_t − L_ub), Eq. 2 to the letter; overflows 88 ms above the budget
# `add_linear` L_a + λ (L_t − L_ref)/L_ref            (ProxylessNAS)
# `mul_log`    L_a · λ (log L_t / log L_ref)^β         (ProxylessNAS)
LATENCY_OBJECTIVES: dict[str, Callable[[jax.Array, LatencyObjective], Terms]] = {
    "stable": _stable,
    "bound": _bound,
    "exp": _exp,
    "add_linear": _add_linear,
    "mul_log": _mul_log,
}


def latency_loss(
    accuracy_loss: jax.Array, latency_ms: jax.Array, objective: LatencyObjective
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The total loss and its terms, float32 scalars: accuracy_loss · latency_factor + penalty.

    The terms are `accuracy_loss`, `latency_ms`, `latency_factor` and `latency_penalty`. Meant for
    the step of the alphas: the weights of the network have no latency.
    """
    accuracy_loss = jnp.asarray(accuracy_loss, jnp.float32)
    latency_ms = jnp.asarray(latency_ms, jnp.float32)
    factor, penalty = LATENCY_OBJECTIVES[objective.mode](latency_ms, objective)
    terms = {
        "accuracy_loss": accuracy_loss,
        "latency_ms": latency_ms,
        "latency_factor": factor,
        "latency_penalty": penalty,
    }
    return accuracy_loss * factor + penalty, terms


def make_objective(
    name: str, asked: LatencyBudget | None, latency: Callable[[Any], jax.Array] | None
) -> Objective:
    """The objective called `name` in a config, for the step of the alphas.

    `latency(alphas)` is in ms; `accuracy` needs neither it nor what is `asked` of it.
    """
    if name == "accuracy":
        return accuracy
    if asked is None or latency is None:
        raise ValueError(f"objective {name!r} needs a budget and a latency, found none")
    bound = LatencyObjective(
        mode=name,
        budget_ms=asked.budget_ms,
        weight=asked.weight,
        tau_ms=asked.tau,
        knee=asked.knee,
    )
    return lambda loss, alphas: latency_loss(loss, latency(alphas), bound)[0]
