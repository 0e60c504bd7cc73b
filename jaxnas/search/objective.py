"""The aim of a search: the objective of its alphas, and the latency that it reports of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from jaxnas.search.moves import Objective, accuracy

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
