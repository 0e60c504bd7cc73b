"""The exchange between the server and its clients in a round, as pure functions on arrays.

A round opens an accumulator, sends every chunk of clients off with `enter`, takes it in again with
`take_in` after its local steps, and ends in `server_update`. The weighted average of the clients is
accumulated as they arrive. Chunks are `rows`, int (k,): numbers of clients, where C and above only
fill up.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxnas.core.trees import all_finite
from jaxnas.engine.step import StepMetrics
from jaxnas.fed.program import Program
from jaxnas.fed.state import OWN, FedState, ModelTree, client_key, merge_trees, select
from jaxnas.fed.strategy import Broadcast, RoundAverage, Strategy, message_shapes


@struct.dataclass
class Average:
    """The mean of the models seen so far and the sum of their weights, a float32 scalar.

    As a running mean it is exact where it should be: of one model, and of equal models that
    arrive one by one.
    """

    mean: Any
    weight: jax.Array


def empty_average(like: Any) -> Average:
    """The average of no model; `like` gives shapes and dtypes."""
    return Average(jax.tree.map(jnp.zeros_like, like), jnp.zeros((), jnp.float32))


def include(average: Average, models: Any, weights: jax.Array) -> Average:
    """The average with some more models, stacked (k, ...), of `weights` float32 (k,).

    mean ← mean + W/(W₀ + W) (Σ_c w_c/W x_c − mean) with W = Σ_c w_c and W₀ the weight so far. A
    model of weight 0 counts for nothing, whatever it holds.
    """
    added = jnp.sum(weights)
    total = average.weight + added
    shares, step = _ratio(weights, added), _ratio(added, total)

    def move(mean: jax.Array, stack: jax.Array) -> jax.Array:
        column = (-1, *[1] * mean.ndim)
        # No matrix product: accelerators may round its factors to ten bits.
        stack = jnp.where(weights.reshape(column) > 0, stack, 0)
        new = jnp.sum(shares.reshape(column).astype(stack.dtype) * stack, axis=0)
        return mean + step.astype(mean.dtype) * (new - mean)

    return Average(jax.tree.map(move, average.mean, models), total)


@struct.dataclass
class RoundAccumulator:
    """The part of a round that grows while its chunks come in: the average of the uploads, what the
    server records of them, and those parts of the state that belong to single clients."""

    average: Average
    memory: Any
    held: ModelTree
    optim: Any


@struct.dataclass
class Report:
    """The clients of a chunk that are finite, bool (k,), and the sums of their readings."""

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
            memory=self.strategy.init_server(shared, self.clients),
            held=jax.tree.map(stacked, self._held(model, self.strategy.init_client(shared))),
            optim=jax.vmap(optim)(jnp.arange(self.clients)) if self.keeps_optim else {},
            round=jnp.int32(0),
            key=key,
        )

    def open(self, server: ModelTree, memory: Any) -> tuple[Average, Any]:
        """The average of nobody, and a memory to write to: the old one is still needed."""
        _, upload = message_shapes(self.strategy, server, clients=self.clients)
        return empty_average(upload), jax.tree.map(jnp.copy, memory)

    def enter(
        self,
        key: jax.Array,
        server: ModelTree,
        held: ModelTree,
        optim: Any,
        rows: jax.Array,
        start: jax.Array,
    ) -> tuple[Any, Any]:
        """The clients' states before their first local step, and what the strategy remembers at
        them, both stacked (k, ...)."""

        def begin(leaves: ModelTree, optim: Any, client: jax.Array) -> Any:
            model = self.strategy.start(server, leaves)
            return self.program.begin(model, optim, client_key(key, client), start)

        leaves, own = _parts(_at(held, rows))
        optim = _at(optim, rows) if self.keeps_optim else None
        return jax.vmap(begin)(leaves, optim, rows), own

    def take_in(
        self,
        accumulator: RoundAccumulator,
        states: Any,
        readings: StepMetrics,
        rows: jax.Array,
        shares: jax.Array,
        rates: jax.Array,
        broadcast: Broadcast,
    ) -> tuple[RoundAccumulator, Report]:
        """The accumulator with what clients have done, weighted by `shares` float32 (k,).

        `rates` float32 (k,) are the sums of the learning rates of their local steps, `broadcast` is
        what they were sent. A client whose state or readings are not finite leaves no trace.
        """
        finite = jax.vmap(all_finite)((states, readings))
        models = jax.vmap(self.program.model)(states)
        shared = select(models, self.strategy.shared)
        _, own = _parts(_at(accumulator.held, rows))
        close = jax.vmap(self.strategy.close, in_axes=(0, None, 0, 0))
        own, uploads = close(own, broadcast, shared, rates)
        rows = jnp.where(finite, rows, self.clients)  # rows past the last client are not written

        def store(tree: Any, new: Any) -> Any:
            return jax.tree.map(lambda x, y: x.at[rows].set(y, mode="drop"), tree, new)

        optim = jax.vmap(self.program.optim)(states) if self.keeps_optim else {}
        accumulator = RoundAccumulator(
            average=include(accumulator.average, uploads, jnp.where(finite, shares, 0.0)),
            memory=self.strategy.record(accumulator.memory, rows, shared),
            held=store(accumulator.held, self._held(models, own)),
            optim=store(accumulator.optim, optim),
        )
        return accumulator, Report(finite, readings)

    def server_update(
        self, memory: Any, server: ModelTree, average: Average, share: jax.Array, number: jax.Array
    ) -> tuple[Any, ModelTree, jax.Array]:
        """The server's next memory and model, and the number of rounds done.

        `share` float32 scalar is the weight of those who took part over that of all clients; of
        it as much counts as `average` has of the former.
        """
        uploads = average.mean
        mean = RoundAverage(uploads.model, uploads.extra, average.weight * share)
        return *self.strategy.server_update(memory, server, mean, number), number + 1

    def model(self, server: ModelTree, held: ModelTree, client: jax.Array) -> ModelTree:
        """The whole model that a client would begin a round with."""
        leaves, _ = _parts(jax.tree.map(lambda x: x[client], held))
        return self.strategy.start(server, leaves)

    def _held(self, model: ModelTree, own: ModelTree) -> ModelTree:
        """The leaves of a model that a client holds, and what the strategy remembers at it."""
        return merge_trees(select(model, self.strategy.held), {OWN: own})


def _ratio(part: jax.Array, whole: jax.Array) -> jax.Array:
    """part / whole, and 0 where the whole is 0."""
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1.0), 0.0)


def _parts(held: ModelTree) -> tuple[ModelTree, ModelTree]:
    """The leaves of the model out of what clients hold, and what the strategy remembers at them."""
    leaves = {name: collection for name, collection in held.items() if name != OWN}
    return leaves, held.get(OWN, {})


def _at(tree: Any, rows: jax.Array) -> Any:
    """The rows of stacks of all clients."""
    return jax.tree.map(lambda x: x.at[rows].get(mode="clip"), tree)
