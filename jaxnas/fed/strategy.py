"""The contract of a strategy: what server and clients send, add to the losses, and remember.

A round (`fed.exchange`) calls these functions in one order. The server sends its model and a
`broadcast`; every client begins from `start`, takes its local steps with `penalty` in the loss,
and closes with `client_update`; the server notes what arrives with `record`, averages it, and ends
the round with `server_update`. `measure_traffic` counts the bytes of all this.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxnas.fed.state import EVERYTHING, NO_PATHS, ModelTree, Paths, merge_trees


@struct.dataclass
class Broadcast:
    """The message of the server to all clients of a round: the shared leaves of its model, the
    number of the round (int32 scalar, from 0), and `extra`, whatever its strategy adds."""

    model: ModelTree
    round: jax.Array
    extra: Any


@struct.dataclass
class Upload:
    """The message of a client to the server: the shared leaves after its local steps, and `extra`,
    whatever its strategy adds; both are averaged."""

    model: ModelTree
    extra: Any


@struct.dataclass
class RoundAverage:
    """The weighted means of the `model` and `extra` of all uploads of a round.

    share: float32 scalar, the weight of those who are in it over the weight of all clients; with
      equal weights |S| / N.
    """

    model: ModelTree
    extra: Any
    share: jax.Array


Penalty = Callable[[ModelTree, Any, Broadcast], jax.Array]
ServerUpdate = Callable[[Any, ModelTree, RoundAverage, jax.Array], tuple[Any, ModelTree]]
ClientUpdate = Callable[[Any, Broadcast, ModelTree, jax.Array], tuple[Any, Any]]


def _nothing(shared: ModelTree) -> ModelTree:
    return {}


def _no_memory(shared: ModelTree, clients: int) -> Any:
    return {}


def _forget(memory: Any, rows: jax.Array, models: ModelTree) -> Any:
    return memory


def _no_extra(memory: Any, server: ModelTree, round: jax.Array) -> Any:
    return {}


def _average(
    memory: Any, server: ModelTree, average: RoundAverage, round: jax.Array
) -> tuple[Any, ModelTree]:
    return memory, average.model


@dataclass(frozen=True)
class Strategy:
    """A strategy for federated rounds; as it stands FedAvg. All functions are pure.

    Of the model:
    shared(path): whether a leaf is sent and averaged.
    held(path): whether a client keeps a leaf of its own from round to round.
    start(server, held): the whole model a client begins a round with.

    Of the server:
    init_server(shared, clients): its memory S beside the model, for that number of clients.
    broadcast(S, server, round): what it sends to everybody beside the model.
    record(S, rows, models): S with the shared leaves that arrive, stacked (k, ...), of the clients
      `rows`, int (k,); rows past the last client are to be dropped.
    server_update(S, server, average, round): S and the server's next model, given its last one
      and the `RoundAverage`.

    Of one client, whose own state R stays with it:
    init_client(shared): R before the first round, a nested dict of arrays.
    penalty(model, R, broadcast): a scalar added to the loss of every local step; None for none.
      It belongs to the `Program`.
    client_update(R, broadcast, shared, rates): R after the local steps, and what is sent beside
      the `shared` leaves; `rates` float32 scalar is the sum of the learning rates of these steps.
      None where a client keeps and adds nothing.
    """

    shared: Paths = EVERYTHING
    held: Callable[[str], bool] = NO_PATHS
    start: Callable[[ModelTree, ModelTree], ModelTree] = merge_trees
    init_server: Callable[[ModelTree, int], Any] = _no_memory
    broadcast: Callable[[Any, ModelTree, jax.Array], Any] = _no_extra
    record: Callable[[Any, jax.Array, ModelTree], Any] = _forget
    server_update: ServerUpdate = _average
    init_client: Callable[[ModelTree], ModelTree] = _nothing
    penalty: Penalty | None = None
    client_update: ClientUpdate | None = None

    def send(self, memory: Any, server: ModelTree, round: jax.Array) -> Broadcast:
        """The message of the server at the beginning of a round."""
        return Broadcast(server, round, self.broadcast(memory, server, round))

    def close(
        self, own: Any, broadcast: Broadcast, shared: ModelTree, rates: jax.Array
    ) -> tuple[Any, Upload]:
        """A client's own state after its local steps, and its message to the server."""
        if self.client_update is None:
            return own, Upload(shared, {})
        own, extra = self.client_update(own, broadcast, shared, rates)
        return own, Upload(shared, extra)


def message_shapes(
    strategy: Strategy, shared: ModelTree, *, clients: int
) -> tuple[Broadcast, Upload]:
    """The messages of a round as ShapeDtypeStructs, for arrays or structs `shared`.

    Computes nothing.
    """

    def messages(shared: ModelTree) -> tuple[Broadcast, Upload]:
        broadcast = strategy.send(strategy.init_server(shared, clients), shared, jnp.int32(0))
        own = strategy.init_client(shared)
        return broadcast, strategy.close(own, broadcast, shared, jnp.float32(1.0))[1]

    return jax.eval_shape(messages, shared)


@dataclass(frozen=True)
class Traffic:
    """Bytes that one client sends (`up`) and receives (`down`) in a round it takes part in."""

    up: int
    down: int


def measure_traffic(strategy: Strategy, shared: ModelTree, *, clients: int) -> Traffic:
    """The bytes of the messages about the leaves `shared`, arrays or ShapeDtypeStructs, with that
    number of clients: the model, and what the strategy sends beside it in either direction.

    Exact, as shapes and dtypes say, without any compression; the number of the round is free.
    """
    broadcast, upload = message_shapes(strategy, shared, clients=clients)
    return Traffic(up=_size(upload), down=_size((broadcast.model, broadcast.extra)))


def _size(tree: Any) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))
