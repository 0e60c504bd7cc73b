"""Slices of k-space as the data of a task: what a reader gives, split by volume."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from jaxnas.core.sections import Experiment, placed
from jaxnas.data.batches import Batches, EpochStream
from jaxnas.data.open import open_source
from jaxnas.data.section import SplitConfig
from jaxnas.data.source import Source, volume_names
from jaxnas.data.splits import slice_indices, split_volumes, subjects_of, volume_labels
from jaxnas.engine.dataset import GroupedDataset
from jaxnas.engine.inputs import Held
from jaxnas.engine.task import DataOpener


@dataclass(frozen=True, kw_only=True)
class SliceDataset(GroupedDataset):
    """Volumes of a source of slices; a batch is that of `data.batches.Batches`."""

    source: Source

    def slices(self, group: str) -> tuple[int, ...]:
        """The numbers of the slices of a group, in the source's order."""
        return slice_indices(self.source, self.groups[group])

    def named(self, names: Iterable[str]) -> tuple[Held, ...]:
        """The volumes of some names, in the source's order."""
        refs = [self.source.slices[i] for i in slice_indices(self.source, names)]
        shapes, counts = {r.volume: r.shape for r in refs}, Counter(r.volume for r in refs)
        return tuple(Held(name, counts[name], shapes[name]) for name in counts)

    def stream(self, names: tuple[str, ...], *, size: int, seed: int) -> EpochStream:
        """Shuffled batches of the slices of some volumes."""
        return Batches(self.source, slice_indices(self.source, names), size=size, seed=seed)


@dataclass(frozen=True)
class SliceData(DataOpener):
    """The `DataOpener` of a task whose section `data` is a `DataConfig`; `given` volumes take the
    place of files."""

    given: Source | None = None

    unit: ClassVar[str] = "volume"

    def holding(self, source: Source) -> Self:
        """The opener of volumes that are in memory."""
        return replace(self, given=source)

    def open_source(self, config: Experiment, *, share: int = 1) -> Any:
        """The slices as they are stored."""
        return self.given or open_source(placed(config).data, seed=config.seed)

    def names(self, source: Source) -> tuple[str, ...]:
        """The volumes of a source."""
        return volume_names(source)

    def subjects(self, config: Experiment, source: Source) -> Mapping[str, str]:
        """{volume: subject}, empty where the config splits by volume."""
        return subjects_of(source, by=config.data.split.by)

    def labels(self, source: Source, by: str) -> dict[str, str]:
        """The label of every volume."""
        return volume_labels(source, by)

    def dataset(
        self,
        config: Experiment,
        source: Source,
        *,
        names: Sequence[str] | None = None,
        fold: int | None = None,
    ) -> SliceDataset:
        """The volumes `names`, split as the config says. There are no folds."""
        names = volume_names(source) if names is None else names
        return SliceDataset(
            source=source,
            groups=split_groups(source, names, config.data.split, seed=config.seed),
            subjects=self.subjects(config, source),
        )


def split_groups(
    source: Source, names: Sequence[str], config: SplitConfig, *, seed: int
) -> dict[str, tuple[str, ...]]:
    """Train, valid and test among the volumes `names` of `source`; valid may be empty.

    Raises UserError for a pattern that matches nothing, a group that comes out empty, and a subject
    in two of them.
    """
    if config.by_fractions:
        groups = {
            "train": 1.0 - config.valid_fraction - config.test_fraction,
            "valid": config.valid_fraction,
            "test": config.test_fraction,
        }
    else:
        groups = {"train": config.train, "valid": config.valid, "test": config.test}
    asked = {name: group for name, group in groups.items() if group}
    subjects = subjects_of(source, by=config.by)
    return {"valid": ()} | split_volumes(names, groups=asked, seed=seed, subjects=subjects)
