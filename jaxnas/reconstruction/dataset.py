"""The data of a reconstruction: slices of k-space, split by volume, and how they are sampled."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jaxnas.data.batches import Batches, EpochStream
from jaxnas.data.source import Source
from jaxnas.data.splits import Subjects, halve, slice_indices
from jaxnas.data.views import check_fully_sampled
from jaxnas.engine.inputs import Held, HeldGroups
from jaxnas.engine.task import GROUPS, describe_groups
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.reconstruction.batches import Draws, MaskedBatches

Indices = tuple[int, ...]


@dataclass(frozen=True)
class KspaceDataset:
    """A source, the names of its volumes in `train`, `valid` and `test`, and how slices of it are
    undersampled.

    `subjects` {volume: subject} are those that must not be in two halves. Where there are `draws`,
    batches come with masks; otherwise a training step draws its own.
    """

    source: Source
    groups: Mapping[str, tuple[str, ...]]
    subjects: Subjects = field(default_factory=dict)
    acquisition: AcquisitionConfig = field(default_factory=AcquisitionConfig)
    draws: Draws | None = None

    def regrouped(self, groups: Mapping[str, tuple[str, ...]]) -> "KspaceDataset":
        """The same source, its volumes in other groups."""
        return replace(self, groups=groups)

    def slices(self, group: str) -> Indices:
        """The numbers of the slices of a group, in the source's order."""
        return slice_indices(self.source, self.groups[group])

    def count(self, group: str) -> int:
        """The number of slices of a group."""
        return len(self.slices(group))

    def half_counts(self, seed: int) -> tuple[int, int]:
        """The number of slices in each half of a search."""
        first, second = self.half_slices(seed)
        return len(first), len(second)

    def batches(self, *, size: int, seed: int) -> EpochStream:
        """Shuffled batches of the training slices."""
        return self._batches(self.slices("train"), size, seed)

    def halves(self, *, size: int, seed: int) -> tuple[EpochStream, EpochStream]:
        """Batches for the weights and for the architecture, of the `half_slices`."""
        first, second = self.half_slices(seed)
        return self._batches(first, size, seed), self._batches(second, size, seed + 1)

    def half_slices(self, seed: int) -> tuple[Indices, Indices]:
        """train_ω and train_α: the training volumes halved at random, by subject."""
        first, second = halve(self.groups["train"], seed, subjects=self.subjects)
        return slice_indices(self.source, first), slice_indices(self.source, second)

    @property
    def sizes(self) -> set[tuple[int, int]]:
        """The heights and widths of the k-space of all groups."""
        refs = (self.source.slices[i] for group in self.groups for i in self.slices(group))
        return {ref.shape for ref in refs}

    def check_sampled(self) -> None:
        """UserError for a volume, in any group, that has no truth to train for or compare with.

        Reads one slice of every volume; embedded data need none.
        """
        check_fully_sampled(self.source, {name for own in self.groups.values() for name in own})

    def held(self) -> HeldGroups:
        """The volumes of every group, in the source's order."""
        groups = {}
        for group in self.groups:
            refs = [self.source.slices[i] for i in self.slices(group)]
            shapes, counts = {r.volume: r.shape for r in refs}, Counter(r.volume for r in refs)
            groups[group] = tuple(Held(name, counts[name], shapes[name]) for name in counts)
        return groups

    def facts(self) -> dict[str, Any]:
        """The entry of a client in clients.json; `shape` (H, W) is that of its k-space."""
        ref = self.source.slices[self.slices("train")[0]]
        return {
            "shape": list(ref.shape),
            "coils": ref.coils,
            "acquisition": self.acquisition.model_dump(mode="json"),
            "volumes": {group: list(self.groups[group]) for group in GROUPS},
            "slices": {group: self.count(group) for group in GROUPS},
        }

    def describe(self) -> str:
        """One line: volumes and slices of every group, masks and accelerations."""
        factors = ", ".join(f"{a:g}×" for a in self.acquisition.accelerations)
        return f"{describe_groups(self)}, {self.acquisition.mask} {factors}"

    def _batches(self, slices: Indices, size: int, seed: int) -> EpochStream:
        batches = Batches(self.source, slices, size=size, seed=seed)
        if self.draws is None:
            return batches
        return MaskedBatches(batches, self.acquisition, self.draws, seed=seed)
