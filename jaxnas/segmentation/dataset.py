"""Labelled slices in memory, from a config's data section and split by patient."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from jaxnas.core.errors import UserError
from jaxnas.core.sections import placed
from jaxnas.data.annotation import LabeledSource, patient_names, volume_indices
from jaxnas.data.folds import split_fold
from jaxnas.data.named import common_labels
from jaxnas.data.prepare import Preparation
from jaxnas.data.readers import HeartSettings, open_labeled
from jaxnas.data.section import LabeledDataConfig, PatientSplitConfig
from jaxnas.data.splits import patient_labels, split_volumes
from jaxnas.engine.dataset import GroupedDataset
from jaxnas.engine.inputs import Held
from jaxnas.engine.task import DataOpener
from jaxnas.segmentation.batches import LabeledBatches, Slices, prepare_slices
from jaxnas.segmentation.section import SegmentationConfig

Patients = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LabeledDataset(GroupedDataset):
    """Patients of a source, and how their slices are prepared."""

    source: LabeledSource
    preparation: Preparation

    def volumes(self, group: str) -> tuple[int, ...]:
        """The numbers of the volumes of a group, in the source's order."""
        return volume_indices(self.source, self.groups[group])

    def named(self, names: Iterable[str]) -> tuple[Held, ...]:
        """The volumes of some patients, in the source's order."""
        refs = [self.source.volumes[i] for i in volume_indices(self.source, names)]
        return tuple(Held(r.name, r.shape[0], r.shape[1:]) for r in refs)

    def stream(self, names: Patients, *, size: int, seed: int) -> LabeledBatches:
        """Shuffled batches of the slices of some patients."""
        slices = self._train if names == self.groups["train"] else self._prepared(names)
        return LabeledBatches(slices.images, slices.labels, size=size, seed=seed)

    def facts(self) -> dict[str, Any]:
        """The entry of a client in clients.json; `shape` (h, w) is that of its prepared slices."""
        found = super().facts()
        return {
            "shape": list(self.preparation.size),
            "patients": found["volumes"],
            "slices": found["slices"],
        }

    @cached_property
    def _train(self) -> Slices:
        return self._prepared(self.groups["train"])

    def _prepared(self, patients: Patients) -> Slices:
        return prepare_slices(self.source, volume_indices(self.source, patients), self.preparation)


@dataclass(frozen=True)
class LabeledData(DataOpener):
    """The `DataOpener` of a segmentation; `given` volumes take the place of files."""

    given: LabeledSource | None = None

    unit: ClassVar[str] = "patient"

    def holding(self, source: LabeledSource) -> "LabeledData":
        """The opener of volumes that are in memory."""
        return LabeledData(source)

    def open_source(self, config: SegmentationConfig, *, share: int = 1) -> LabeledSource:
        """The source of a config; nothing of it stays in memory."""
        del share
        return self.given or open_labeled_source(placed(config).data, seed=config.seed)

    def names(self, source: LabeledSource) -> Patients:
        """The patients of a source."""
        return patient_names(source)

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
        preparation = open_preparation(config.data)
        return LabeledDataset(source=source, preparation=preparation, groups=groups)

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
