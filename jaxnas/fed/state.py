"""Everything a federated run needs to go on, which is also the checkpoint; parts of its model.

Parts are chosen by the '/'-joined paths of their leaves: "params/stem0/kernel".
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import jax
from flax import struct
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnas.core import rng
from jaxnas.core.errors import UserError

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


@dataclass(frozen=True)
class Paths:
    """The leaves that match a pattern, less those that match one behind a "!".

    In patterns `*` stands for any characters, "/" among them.
    """

    patterns: tuple[str, ...]

    def __call__(self, path: str) -> bool:
        """Tells whether a leaf is one of them."""
        without = [p[1:] for p in self.patterns if p.startswith("!")]
        return _matches(path, self._wanted) and not _matches(path, without)

    def check(self, paths: Iterable[str]) -> None:
        """Raises UserError for a pattern that matches none of `paths` (behind a "!" it may), or
        if patterns leave none of them."""
        paths = list(paths)
        examples = f"expected patterns over paths such as {paths[0]!r} and {paths[-1]!r}"
        for pattern in self._wanted:
            if not any(fnmatchcase(path, pattern) for path in paths):
                raise UserError(f"shared: pattern {pattern!r} matches no parameter; {examples}")
        if self.patterns and not any(self(path) for path in paths):
            raise UserError(f"shared: {', '.join(self.patterns)} leaves no parameter; {examples}")

    @property
    def _wanted(self) -> list[str]:
        return [p for p in self.patterns if not p.startswith("!")]


EVERYTHING = Paths(("*",))
NO_PATHS = Paths(())


def leaf_paths(model: ModelTree) -> list[str]:
    """The paths of all leaves."""
    return list(flatten_dict(model, sep="/"))


def select(model: ModelTree, wanted: Callable[[str], bool]) -> ModelTree:
    """The part of `model` with the leaves that are `wanted`; {} if none is."""
    leaves = flatten_dict(model, sep="/")
    return unflatten_dict({path: x for path, x in leaves.items() if wanted(path)}, sep="/")


def merge_trees(first: ModelTree, second: ModelTree) -> ModelTree:
    """One model of two parts that have no leaf in common."""
    leaves = flatten_dict(first, sep="/"), flatten_dict(second, sep="/")
    return unflatten_dict(leaves[0] | leaves[1], sep="/")


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
