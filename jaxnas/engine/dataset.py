"""The part of a dataset that no task says otherwise: names in groups, their halves and batches."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Self

from jaxnas.data.batches import EpochStream
from jaxnas.data.splits import Subjects, halve
from jaxnas.engine.inputs import Held, HeldGroups
from jaxnas.engine.task import GROUPS, Split


@dataclass(frozen=True, kw_only=True)
class GroupedDataset(ABC):
    """The base of a `Dataset`: volumes or patients by name in `train`, `valid` and `test`.

    `subjects` {name: subject} are those that must not be in two halves. A task says what it holds
    of some names, and makes batches of them.
    """

    groups: Split
    subjects: Subjects = field(default_factory=dict)

    @abstractmethod
    def named(self, names: Iterable[str]) -> tuple[Held, ...]:
        """The volumes of some names, in the source's order."""

    @abstractmethod
    def stream(self, names: tuple[str, ...], *, size: int, seed: int) -> EpochStream:
        """Shuffled batches of the slices of some names."""

    def regrouped(self, groups: Split) -> Self:
        """The same data in other groups."""
        return replace(self, groups=groups)

    def count(self, group: str) -> int:
        """The number of slices of a group."""
        return self._slices(self.groups[group])

    def halved(self, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The training names halved at random, by subject: for the weights and for the alphas."""
        return halve(self.groups["train"], seed, subjects=self.subjects)

    def half_counts(self, seed: int) -> tuple[int, int]:
        """The number of slices in each half of a search."""
        first, second = self.halved(seed)
        return self._slices(first), self._slices(second)

    def batches(self, *, size: int, seed: int) -> EpochStream:
        """Shuffled batches of the training slices."""
        return self.stream(self.groups["train"], size=size, seed=seed)

    def halves(self, *, size: int, seed: int) -> tuple[EpochStream, EpochStream]:
        """Batches for the weights and for the architecture, of the names that are `halved`."""
        first, second = self.halved(seed)
        return (
            self.stream(first, size=size, seed=seed),
            self.stream(second, size=size, seed=seed + 1),
        )

    def held(self) -> HeldGroups:
        """The volumes of every group, in the source's order."""
        return {group: self.named(names) for group, names in self.groups.items()}

    def facts(self) -> dict[str, Any]:
        """The entry of a client in clients.json."""
        return {
            "shape": list(self.named(self.groups["train"])[0].shape),
            "volumes": {group: list(self.groups[group]) for group in GROUPS},
            "slices": {group: self.count(group) for group in GROUPS},
        }

    def describe(self) -> str:
        """One line: names and slices of every group."""
        return ", ".join(
            f"{len(self.groups[group])} {group} ({self.count(group)} slices)" for group in GROUPS
        )

    def _slices(self, names: Iterable[str]) -> int:
        return sum(volume.slices for volume in self.named(names))
