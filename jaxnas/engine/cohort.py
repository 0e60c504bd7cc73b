"""The members of a run: one site, the folds of a cross-validation, or clients of a federation."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from jaxnas.core.errors import naming
from jaxnas.engine.inputs import HeldGroups
from jaxnas.engine.task import Dataset

SITE = "site"
FOLD = "fold "
T = TypeVar("T")


@dataclass(frozen=True)
class Cohort:
    """Datasets by the names of their members; `weights` of clients in an average, else none.

    One site is a single member called `SITE`, a fold one called `fold n`; a run trains and
    evaluates them one by one. Clients train together, in rounds.
    """

    members: Mapping[str, Dataset]
    weights: tuple[float, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the members, in order."""
        return tuple(self.members)

    @property
    def first(self) -> Any:
        """The dataset of the first member, of its task's class."""
        return next(iter(self.members.values()))

    @property
    def head(self) -> "Cohort":
        """The first member alone: where the search of a run with folds takes place."""
        (name, dataset), *_ = self.members.items()
        return replace(self, members={name: dataset}, weights=self.weights[:1])

    def seed(self, seed: int, name: str, purpose: str) -> int:
        """The seed of a member's draws; clients have their own, by name: others do not matter."""
        return client_seed(seed, name, purpose) if self.weights else seed

    def place(self, name: str) -> str:
        """The name of a member in messages; empty for one site."""
        if self.weights:
            return f"client {name!r}"
        return "" if name == SITE else name

    def mapped(self, change: Callable[[Any], Dataset]) -> "Cohort":
        """The members with other datasets."""
        return replace(self, members={n: change(data) for n, data in self.members.items()})

    def each(self, action: Callable[[str, Any], T]) -> dict[str, T]:
        """The results of action(name, dataset) by member; a user error names its member."""
        found = {}
        for name, dataset in self.members.items():
            with naming(self.place(name)):
                found[name] = action(name, dataset)
        return found

    def held(self) -> dict[str, HeldGroups]:
        """The volumes of every group of every member."""
        return {name: dataset.held() for name, dataset in self.members.items()}


def fold_name(fold: int | None) -> str:
    """The name of the member that trains on a fold, or on the config's own split."""
    return SITE if fold is None else f"{FOLD}{fold}"


def fold_number(name: str) -> int | None:
    """The fold of `fold_name`."""
    return None if name == SITE else int(name.removeprefix(FOLD))


def client_seed(seed: int, client: str, purpose: str) -> int:
    """A seed of 32 bits for one purpose at one client, by name: other clients do not matter."""
    return zlib.crc32(f"{seed}/{client}/{purpose}".encode())
