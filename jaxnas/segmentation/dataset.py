"""Labelled slices in memory, from a config's data section and split by patient.

Their batches are a pure function of (seed, step).
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.sections import placed
from jaxnas.data.annotation import (
    LabeledSource,
    annotated,
    labels_in,
    patient_names,
    require_foreground,
    volume_indices,
    warn_of_absent,
)
from jaxnas.data.folds import split_fold
from jaxnas.data.named import common_labels
from jaxnas.data.prepare import Preparation
from jaxnas.data.readers import HeartSettings, open_labeled
from jaxnas.data.section import LabeledDataConfig, PatientSplitConfig
from jaxnas.data.splits import patient_labels, split_volumes
from jaxnas.engine.dataset import GroupedDataset
from jaxnas.engine.inputs import Held
from jaxnas.engine.task import DataOpener
from jaxnas.segmentation.section import SegmentationConfig

Patients = tuple[str, ...]


class Slices(NamedTuple):
    """Prepared slices of several volumes, one after the other, in memory.

    Attributes:
      images: float32 (N, h, w).
      labels: uint8 (N, h, w).
      volumes: int32 (N,), positions in the source.
    """

    images: np.ndarray
    labels: np.ndarray
    volumes: np.ndarray


def prepare_slices(
    source: LabeledSource, indices: Sequence[int], preparation: Preparation, *, workers: int = 2
) -> Slices:
    """All slices of the volumes `indices`, each volume read once, 5 bytes a pixel.

    UserError for a volume without labels, where there is no volume, and where all pixels are
    background; a class that volumes lack is warned of.
    """
    if not len(indices):
        raise UserError("no labelled volume to train on; expected at least one, add patients")

    def prepare(i: int) -> tuple[np.ndarray, np.ndarray]:
        image, labels = preparation.forward(source.read(i))
        if labels is None:
            raise UserError(
                f"{source.volumes[i].name}: has no labels; expected a label file for every "
                "volume, leave this patient out"
            )
        return image, labels

    with ThreadPoolExecutor(workers, thread_name_prefix="volumes") as pool:
        images, labels = zip(*pool.map(prepare, indices))
    present = [labels_in(found) for found in labels]
    require_foreground(present, annotated(source), what="the training volumes")
    warn_of_absent(present, annotated(source), what="the training volumes")
    volumes = np.repeat(np.asarray(indices, np.int32), [len(image) for image in images])
    return Slices(np.concatenate(images), np.concatenate(labels), volumes)


class LabeledBatches:
    """Endless shuffled batches of slices that are all in memory.

    Every epoch visits every slice in a new order; the last batch is filled up with slices already
    seen in the epoch, so that none is ever dropped and all batches have `size` items.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, *, size: int, seed: int):
        """`images` float32 (N, h, w) and `labels` uint8 (N, h, w)."""
        if size < 1 or not len(images) or images.shape != labels.shape:
            raise ValueError(
                "expected slices, as many labels of one shape, and size >= 1, "
                f"found {images.shape}, {labels.shape} and {size}"
            )
        self.images = images
        self.labels = labels
        self.size = size
        self.seed = seed

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        return -(-len(self.images) // self.size)

    def indices(self, step: int) -> np.ndarray:
        """Positions of the slices of batch `step`, int32 (size,)."""
        epoch, row = divmod(step, self.per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))
        return np.resize(order, (self.per_epoch, self.size))[row].astype(np.int32)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The arrays of batch `step`.

        Returns:
          image: float32 (B, h, w).
          label: uint8 (B, h, w).
          index: int32 (B,), positions in `images`.
        """
        index = self.indices(step)
        return {"image": self.images[index], "label": self.labels[index], "index": index}


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
