"""Parts of a model, chosen by the '/'-joined paths of their leaves: "params/stem0/kernel"."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnas.core.errors import UserError
from jaxnas.fed.state import ModelTree


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
