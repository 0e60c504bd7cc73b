"""The bytes that a round sends."""

import math
from dataclasses import dataclass
from typing import Any

import jax

from jaxnas.fed.state import ModelTree
from jaxnas.fed.strategy import Strategy, message_shapes


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
