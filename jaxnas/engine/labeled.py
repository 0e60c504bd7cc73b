"""Labelled slices in memory, from a config's data section and split by patient."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from jaxnas.core.segmentation_schema import LabeledDataConfig, PatientSplitConfig
from jaxnas.data.cardiac import HeartSettings, open_labeled
from jaxnas.data.folds import split_fold
from jaxnas.data.labeled import LabeledSource, patient_names, volume_indices
from jaxnas.data.labeled_batches import LabeledBatches, Slices, prepare_slices
from jaxnas.data.prepare import Preparation
from jaxnas.data.splits import halve, split_volumes
from jaxnas.engine.inputs import Held, HeldGroups

Patients = tuple[str, ...]


@dataclass(frozen=True)
class LabeledDataset:
    """A source, how its slices are prepared, and its patients in `train`, `valid` and `test`."""

    source: LabeledSource
    preparation: Preparation
    patients: Mapping[str, Patients]

    @property
    def groups(self) -> Mapping[str, Patients]:
        """The patients of every split."""
        return self.patients

    def regrouped(self, groups: Mapping[str, Patients]) -> "LabeledDataset":
        """The same source, its patients in other splits."""
        return replace(self, patients=groups)

    def count(self, split: str) -> int:
        """The number of slices of a split."""
        return self._slices(self.patients[split])

    def half_counts(self, seed: int) -> tuple[int, int]:
        """The number of slices in each of the `halves`."""
        first, second = halve(self.patients["train"], seed)
        return self._slices(first), self._slices(second)

    def volumes(self, split: str) -> tuple[int, ...]:
        """The numbers of the volumes of a split, in the source's order."""
        return volume_indices(self.source, self.patients[split])

    def held(self) -> HeldGroups:
        """The volumes of every split, in the source's order."""
        groups = {}
        for split in self.patients:
            refs = [self.source.volumes[i] for i in self.volumes(split)]
            groups[split] = tuple(Held(r.name, r.shape[0], tuple(r.shape[1:])) for r in refs)
        return groups

    def batches(self, *, size: int, seed: int) -> LabeledBatches:
        """Shuffled batches of the training slices."""
        return LabeledBatches(self._train.images, self._train.labels, size=size, seed=seed)

    def halves(self, *, size: int, seed: int) -> tuple[LabeledBatches, LabeledBatches]:
        """Batches for the weights and for the logits: the training patients halved at random."""
        found = []
        for number, patients in enumerate(halve(self.patients["train"], seed)):
            slices = self._prepared(patients)
            batches = LabeledBatches(slices.images, slices.labels, size=size, seed=seed + number)
            found.append(batches)
        return found[0], found[1]

    @cached_property
    def _train(self) -> Slices:
        return self._prepared(self.patients["train"])

    def _slices(self, patients: Patients) -> int:
        volumes = self.source.volumes
        return sum(volumes[i].shape[0] for i in volume_indices(self.source, patients))

    def _prepared(self, patients: Patients) -> Slices:
        return prepare_slices(self.source, volume_indices(self.source, patients), self.preparation)


def open_labeled_dataset(
    config: LabeledDataConfig, *, seed: int, fold: int | None = None
) -> LabeledDataset:
    """Opens the source of a config and splits it by patient; `fold` replaces that of the config.

    Raises UserError where there is nothing to read, and for a split that comes out empty.
    """
    source = open_labeled_source(config, seed=seed)
    split = config.split if fold is None else config.split.model_copy(update={"fold": fold})
    patients = split_patients(patient_names(source), split, seed=seed)
    return LabeledDataset(source, open_preparation(config), patients)


def open_labeled_source(config: LabeledDataConfig, *, seed: int) -> LabeledSource:
    """The source of a config; UserError where there is nothing to read."""
    heart = config.heart
    return open_labeled(
        config.source,
        config.path,
        phases=config.phases,
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
    if config.method == "fractions":
        shares = {"valid": config.valid_fraction, "test": config.test_fraction}
        shares = {"train": 1.0 - sum(shares.values())} | {n: f for n, f in shares.items() if f}
        return {"valid": ()} | split_volumes(names, groups=shares, seed=seed)
    fold = split_fold(names, scheme=config.method, fold=config.fold)
    if not config.valid_fraction:
        return {"train": fold.train, "valid": (), "test": fold.held}
    shares = {"train": 1.0 - config.valid_fraction, "valid": config.valid_fraction}
    return split_volumes(fold.train, groups=shares, seed=seed) | {"test": fold.held}
