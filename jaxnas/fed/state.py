"""Everything a federated run needs to go on; it is also the checkpoint."""

from typing import Any

import jax
from flax import struct

from jaxnas.core import rng

# What clients exchange and average: {"params": ...}, in a search {"params": ..., "alphas": ...}.
# Nested dicts of arrays; a leaf is addressed by its path, as in "params/stem0/kernel".
ModelTree = dict[str, Any]
OWN = "own"  # beside the collections of a model, what a strategy remembers at a client


@struct.dataclass
class FedState:
    """The server's model, what clients keep between rounds, the rounds done and the root key.

    server: the shared leaves that clients begin the next round from (after any moving average).
    memory: what the server remembers beside them; {} if nothing.
    held: what clients keep for themselves, stacked (C, ...): leaves of the model, and under `own`
      what the strategy remembers at them; {} if nothing.
    optim: the clients' optimiser states, stacked (C, ...); {} where every round begins anew.
    round: int32 scalar, rounds done.
    key: the typed root key; every client's own key follows from it (see `client_key`).

    With nothing held and fresh optimisers its size does not depend on the number of clients.
    """

    server: ModelTree
    memory: Any
    held: ModelTree
    optim: Any
    round: jax.Array
    key: jax.Array


def client_key(key: jax.Array, client: jax.Array | int) -> jax.Array:
    """The root key of a client's own draws; independent of all others and the same every round."""
    return rng.stream(key, "client", client)
