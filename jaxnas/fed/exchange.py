"""The exchange between the server and its clients in a round, as pure functions on arrays.

A round opens a tally, sends every chunk of clients off with `enter`, takes it in again with
`take_in` after its local steps, and ends in `settle`. Chunks are `rows`, int (k,): numbers of
clients, where C and above only fill up.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxnas.core.trees import all_finite
from jaxnas.engine.step import StepMetrics
from jaxnas.fed.aggregate import Average, empty_average, include
from jaxnas.fed.paths import select
from jaxnas.fed.program import Program
from jaxnas.fed.state import FedState, ModelTree, client_key
from jaxnas.fed.strategies import Strategy


@struct.dataclass
class Tally:
    """The result of a round as its chunks come in: the average, and the parts of the state that
    belong to single clients."""

    average: Average
    memory: Any
    held: ModelTree
    optim: Any


@struct.dataclass
class Report:
    """The finite clients of a chunk, bool (k,), and the sums of the readings of all."""

    finite: jax.Array
    readings: StepMetrics


@dataclass(frozen=True)
class Exchange:
    """The exchange of `clients` clients, who keep their optimisers between rounds or begin anew."""

    program: Program
    strategy: Strategy
    clients: int
    keeps_optim: bool

    def init(self, key: jax.Array, model: ModelTree) -> FedState:
        """The state before round 0, in which every client has `model`."""
        model = jax.tree.map(jnp.copy, model)  # the caller keeps its own
        shared = select(model, self.strategy.shared)

        def stacked(x: jax.Array) -> jax.Array:
            return jnp.broadcast_to(x, (self.clients, *x.shape))

        def optim(client: jax.Array) -> Any:
            begun = self.program.begin(model, None, client_key(key, client), jnp.int32(0))
            return self.program.optim(begun)

        return FedState(
            server=shared,
            memory=self.strategy.init_memory(shared, self.clients),
            held=jax.tree.map(stacked, select(model, self.strategy.held)),
            optim=jax.vmap(optim)(jnp.arange(self.clients)) if self.keeps_optim else {},
            round=jnp.int32(0),
            key=key,
        )

    def open(self, server: ModelTree, memory: Any) -> tuple[Average, Any]:
        """The average of nobody, and a memory to write to: the old one is still needed."""
        return empty_average(server), jax.tree.map(jnp.copy, memory)

    def enter(
        self,
        key: jax.Array,
        server: ModelTree,
        held: ModelTree,
        optim: Any,
        rows: jax.Array,
        start: jax.Array,
    ) -> Any:
        """The clients' states before their first local step, stacked (k, ...)."""

        def begin(held: ModelTree, optim: Any, client: jax.Array) -> Any:
            model = self.strategy.start(server, held)
            return self.program.begin(model, optim, client_key(key, client), start)

        def own(tree: Any) -> Any:
            return jax.tree.map(lambda x: x.at[rows].get(mode="clip"), tree)

        return jax.vmap(begin)(own(held), own(optim) if self.keeps_optim else None, rows)

    def take_in(
        self, tally: Tally, states: Any, readings: StepMetrics, rows: jax.Array, shares: jax.Array
    ) -> tuple[Tally, Report]:
        """The tally with what clients have done, weighted by `shares` float32 (k,).

        A client whose state or readings are not finite leaves no trace in it.
        """
        finite = jax.vmap(all_finite)((states, readings))
        rows = jnp.where(finite, rows, self.clients)  # rows past the last client are not written
        models = jax.vmap(self.program.model)(states)
        shared = select(models, self.strategy.shared)

        def store(tree: Any, new: Any) -> Any:
            return jax.tree.map(lambda x, y: x.at[rows].set(y, mode="drop"), tree, new)

        optim = jax.vmap(self.program.optim)(states) if self.keeps_optim else {}
        tally = Tally(
            average=include(tally.average, shared, jnp.where(finite, shares, 0.0)),
            memory=self.strategy.note(tally.memory, rows, shared),
            held=store(tally.held, select(models, self.strategy.held)),
            optim=store(tally.optim, optim),
        )
        return tally, Report(finite, readings)

    def settle(
        self, server: ModelTree, average: ModelTree, number: jax.Array
    ) -> tuple[ModelTree, jax.Array]:
        """The server's next model, and the number of rounds done."""
        return self.strategy.settle(server, average, number), number + 1

    def model(self, server: ModelTree, held: ModelTree, client: jax.Array) -> ModelTree:
        """The whole model that a client would begin a round with."""
        return self.strategy.start(server, jax.tree.map(lambda x: x[client], held))
