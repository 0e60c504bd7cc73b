"""The traffic of a round, in bytes."""

import math
from dataclasses import dataclass
from typing import Any

import jax

from jaxnas.fed.state import ModelTree


@dataclass(frozen=True)
class Traffic:
    """Bytes that one client sends (`up`) and receives (`down`) in a round it takes part in."""

    up: int
    down: int


def measure_traffic(server: ModelTree, memory: Any) -> Traffic:
    """The shared leaves go up; they and what the strategy remembers come down.

    Arrays or ShapeDtypeStructs; exact, as shapes and dtypes say, without any compression.
    """
    up = _size(server)
    return Traffic(up=up, down=up + _size(memory))


def _size(tree: Any) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))
