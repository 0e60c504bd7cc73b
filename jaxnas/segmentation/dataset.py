"""Labelled slices in memory, from a config's data section and split by patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from jaxnas.core.errors import UserError
from jaxnas.core.places import placed
from jaxnas.data.annotation import LabeledSource, patient_names, volume_indices
from jaxnas.data.folds import split_fold
from jaxnas.data.labels import patient_labels
from jaxnas.data.named import common_labels
from jaxnas.data.prepare import Preparation
from jaxnas.data.readers import HeartSettings, open_labeled
from jaxnas.data.section import LabeledDataConfig, PatientSplitConfig
from jaxnas.data.splits import halve, split_volumes
from jaxnas.engine.inputs import Held, HeldGroups
from jaxnas.engine.task import GROUPS, describe_groups
from jaxnas.segmentation.batches import LabeledBatches, Slices, prepare_slices
from jaxnas.segmentation.section import SegmentationConfig

Patients = tuple[str, ...]


@dataclass(frozen=True)
class LabeledDataset:
    """A source, how its slices are prepared, and its patients in `train`, `valid` and `test`."""

    source: LabeledSource
    preparation: Preparation
    groups: Mapping[str, Patients]

    def regrouped(self, groups: Mapping[str, Patients]) -> "LabeledDataset":
        """The same source, its patients in other splits."""
        return replace(self, groups=groups)

    def count(self, split: str) -> int:
        """The number of slices of a split."""
        return self._slices(self.groups[split])

    def half_counts(self, seed: int) -> tuple[int, int]:
        """The number of slices in each of the `halves`."""
        first, second = halve(self.groups["train"], seed)
        return self._slices(first), self._slices(second)

    def volumes(self, split: str) -> tuple[int, ...]:
        """The numbers of the volumes of a split, in the source's order."""
        return volume_indices(self.source, self.groups[split])

    def held(self) -> HeldGroups:
        """The volumes of every split, in the source's order."""
        groups = {}
        for split in self.groups:
            refs = [self.source.volumes[i] for i in self.volumes(split)]
            groups[split] = tuple(Held(r.name, r.shape[0], tuple(r.shape[1:])) for r in refs)
        return groups

    def facts(self) -> dict[str, Any]:
        """The entry of a client in clients.json; `shape` (h, w) is that of its prepared slices."""
        return {
            "shape": list(self.preparation.size),
            "patients": {group: list(self.groups[group]) for group in GROUPS},
            "slices": {group: self.count(group) for group in GROUPS},
        }

    def describe(self) -> str:
        """One line: patients and slices of every group."""
        return describe_groups(self)

    def batches(self, *, size: int, seed: int) -> LabeledBatches:
        """Shuffled batches of the training slices."""
        return LabeledBatches(self._train.images, self._train.labels, size=size, seed=seed)

    def halves(self, *, size: int, seed: int) -> tuple[LabeledBatches, LabeledBatches]:
        """Batches for the weights and for the logits: the training patients halved at random."""
        found = []
        for number, patients in enumerate(halve(self.groups["train"], seed)):
            slices = self._prepared(patients)
            batches = LabeledBatches(slices.images, slices.labels, size=size, seed=seed + number)
            found.append(batches)
        return found[0], found[1]

    @cached_property
    def _train(self) -> Slices:
        return self._prepared(self.groups["train"])

    def _slices(self, patients: Patients) -> int:
        volumes = self.source.volumes
        return sum(volumes[i].shape[0] for i in volume_indices(self.source, patients))

    def _prepared(self, patients: Patients) -> Slices:
        return prepare_slices(self.source, volume_indices(self.source, patients), self.preparation)


@dataclass(frozen=True)
class LabeledData:
    """The `DataOpener` of a segmentation; `given` volumes take the place of files."""

    given: LabeledSource | None = None

    unit: ClassVar[str] = "patient"

    def holding(self, source: LabeledSource) -> "LabeledData":
        """The opener of volumes that are in memory."""
        return LabeledData(source)

    def source_key(self, config: SegmentationConfig) -> LabeledDataConfig:
        """Two clients read one source where they have one data section."""
        return config.data

    def open_source(self, config: SegmentationConfig, *, share: int = 1) -> LabeledSource:
        """The source of a config; nothing of it stays in memory."""
        del share
        return self.given or open_labeled_source(placed(config).data, seed=config.seed)

    def names(self, source: LabeledSource) -> Patients:
        """The patients of a source."""
        return patient_names(source)

    def subjects(self, config: SegmentationConfig, source: LabeledSource) -> Mapping[str, str]:
        """Empty: patients are what is split."""
        return {}

    def labels(self, source: LabeledSource, by: str) -> dict[str, str]:
        """The label of every patient."""
        return patient_labels(source, by)

    def dataset(
        self,
        config: SegmentationConfig,
        source: LabeledSource,
        *,
        names: Sequence[str] | None = None,
        fold: int | None = None,
    ) -> LabeledDataset:
        """The patients `names`, split as the config says; `fold` replaces that of the config.

        UserError for a source with other labels than the config says, for which networks are built.
        """
        if config.data.labels not in (None, source.labels):
            raise UserError(
                f"data.labels: found {', '.join(config.data.labels)}, but the labels of the data "
                f"are {', '.join(source.labels)}; expected the same, begin another run with these"
            )
        split = config.data.split
        if fold is not None:
            split = split.model_copy(update={"fold": fold})
        names = patient_names(source) if names is None else tuple(names)
        groups = split_patients(names, split, seed=config.seed)
        return LabeledDataset(source, open_preparation(config.data), groups)

    def joined(
        self, config: SegmentationConfig, members: Mapping[str, LabeledDataset]
    ) -> Mapping[str, LabeledDataset]:
        """The clients; UserError unless all prepared slices have the size of the config, for which
        latencies are known, and the same labels: they are computed together."""
        for name, dataset in members.items():
            size = dataset.preparation.size
            if size != config.data.size:
                raise UserError(
                    f"client {name!r}: data.size is {size}, that of the config {config.data.size}; "
                    f"expected one size everywhere, because clients are computed together"
                )
        common_labels({name: dataset.source.labels for name, dataset in members.items()})
        return members

    def check(self, dataset: LabeledDataset) -> None:
        """Labels are looked at when slices are prepared."""


def open_labeled_source(config: LabeledDataConfig, *, seed: int) -> LabeledSource:
    """The source of a config; UserError where there is nothing to read."""
    heart = config.heart
    return open_labeled(
        config.source,
        config.path,
        phases=config.phases,
        labels=config.labels,
        heart=HeartSettings(heart.patients, heart.slices, heart.size, heart.frames),
        seed=seed,
    )


def open_preparation(config: LabeledDataConfig) -> Preparation:
    """The preparation of the slices of a config."""
    return Preparation(config.spacing, config.size, config.clip)


def split_patients(
    names: Patients, config: PatientSplitConfig, *, seed: int
) -> dict[str, Patients]:
    """The patients of `train`, `valid` and `test`; `valid` may be empty."""
    if config.by_fractions:
        shares = {"valid": config.valid_fraction, "test": config.test_fraction}
        shares = {"train": 1.0 - sum(shares.values())} | {n: f for n, f in shares.items() if f}
        return {"valid": ()} | split_volumes(names, groups=shares, seed=seed)
    fold = split_fold(names, scheme=config.method, fold=config.fold)
    if not config.valid_fraction:
        return {"train": fold.train, "valid": (), "test": fold.held}
    shares = {"train": 1.0 - config.valid_fraction, "valid": config.valid_fraction}
    return split_volumes(fold.train, groups=shares, seed=seed) | {"test": fold.held}
