"""Slices of a config's data section as a network sees them, split by volume."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from jaxnas.core.places import placed
from jaxnas.core.schema import AcquisitionConfig, Config, DataConfig, NetworkConfig, SplitConfig
from jaxnas.data.open import open_source
from jaxnas.data.source import Source, volume_names
from jaxnas.data.splits import Subjects, halve, slice_indices, split_volumes, subjects_of
from jaxnas.data.views import (
    Cached,
    Calibrated,
    CoilCombined,
    Cropped,
    FullySampled,
    Padded,
    Thinned,
    check_fully_sampled,
)
from jaxnas.engine.inputs import Held, HeldGroups
from jaxnas.models.networks import check_coils

CACHE_BYTES = 2 << 30

Indices = tuple[int, ...]


class Center(NamedTuple):
    """The part of k-space that every mask of an acquisition samples: a `fraction` of the columns,
    or where masks are of `points` the ellipse of that fraction of height and width."""

    fraction: float
    points: bool


@dataclass(frozen=True)
class Dataset:
    """A source and the names of its volumes in `train`, `valid` and `test`.

    `subjects` {volume: subject} are those that must not be in two halves.
    """

    source: Source
    volumes: Mapping[str, tuple[str, ...]]
    subjects: Subjects = field(default_factory=dict)

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """The volumes of every split."""
        return self.volumes

    def regrouped(self, groups: Mapping[str, tuple[str, ...]]) -> "Dataset":
        """The same source, its volumes in other splits."""
        return replace(self, volumes=groups)

    def slices(self, split: str) -> Indices:
        """The numbers of the slices of a split, in the source's order."""
        return slice_indices(self.source, self.volumes[split])

    def count(self, split: str) -> int:
        """The number of slices of a split."""
        return len(self.slices(split))

    def half_counts(self, seed: int) -> tuple[int, int]:
        """The number of slices in each of the `halves`."""
        first, second = self.halves(seed)
        return len(first), len(second)

    @property
    def sizes(self) -> set[tuple[int, int]]:
        """The heights and widths of the k-space of all splits."""
        refs = (self.source.slices[i] for split in self.volumes for i in self.slices(split))
        return {ref.shape for ref in refs}

    def check_sampled(self) -> None:
        """UserError for a volume, in any split, that has no truth to train for or compare with.

        Reads one slice of every volume; embedded data need none.
        """
        check_fully_sampled(self.source, {name for own in self.volumes.values() for name in own})

    def held(self) -> HeldGroups:
        """The volumes of every split, in the source's order."""
        groups = {}
        for split in self.volumes:
            refs = [self.source.slices[i] for i in self.slices(split)]
            shapes, counts = {r.volume: r.shape for r in refs}, Counter(r.volume for r in refs)
            groups[split] = tuple(Held(name, counts[name], shapes[name]) for name in counts)
        return groups

    def halves(self, seed: int) -> tuple[Indices, Indices]:
        """train_ω and train_α: the training volumes halved at random, by subject."""
        first, second = halve(self.volumes["train"], seed, subjects=self.subjects)
        return slice_indices(self.source, first), slice_indices(self.source, second)


def open_dataset(config: Config) -> Dataset:
    """Opens the source of a config as its networks see it, and splits it.

    Raises UserError as `ready_source` and `split_dataset` do.
    """
    config = placed(config)
    source = ready_source(
        config.data,
        config.network,
        center=common_center(config.acquisition),
        seed=config.seed,
    )
    return split_dataset(source, volume_names(source), config.data.split, seed=config.seed)


def common_center(acquisition: AcquisitionConfig) -> Center:
    """The center of k-space that the masks of every acceleration sample."""
    return Center(min(acquisition.center_fractions), not acquisition.whole_columns)


def ready_source(
    config: DataConfig,
    network: NetworkConfig,
    *,
    center: Center,
    seed: int,
    cache_bytes: int = CACHE_BYTES,
) -> Source:
    """The slices of a data section as `network` sees them, kept decoded up to `cache_bytes`.

    Opened, thinned, given coil maps where they have none, combined, padded, cropped, cached. What
    is not fully sampled is refused when it is read, or before by `Dataset.check_sampled`. Coil maps
    may only know the `center` of k-space, which every acceleration samples. Raises UserError where
    there is nothing to read, a pad or crop does not fit, or the network has no λ for several coils.
    """
    source: Source = open_source(config, seed=seed)
    if config.slices is not None:
        source = Thinned(source, config.slices)
    if config.source != "synthetic":
        source = FullySampled(source)
    source = Calibrated(source, fraction=center.fraction, points=center.points)
    if config.coils == "combined":
        source = CoilCombined(source)
    for ref in source.slices:
        check_coils(network, ref.coils, where=ref.volume)
    if config.pad is not None:
        source = Padded(source, config.pad)
    if config.crop is not None:
        source = Cropped(source, config.crop)
    return Cached(source, max_bytes=cache_bytes)


def split_dataset(
    source: Source, names: Sequence[str], config: SplitConfig, *, seed: int
) -> Dataset:
    """Train, valid and test among the volumes `names` of `source`; valid may be empty.

    Raises UserError for a pattern that matches nothing, a split that comes out empty, and a subject
    in two of them.
    """
    if config.train is None:
        groups = {
            "train": 1.0 - config.valid_fraction - config.test_fraction,
            "valid": config.valid_fraction,
            "test": config.test_fraction,
        }
    else:
        groups = {"train": config.train, "valid": config.valid, "test": config.test}
    asked = {name: group for name, group in groups.items() if group}
    subjects = subjects_of(source, by=config.by)
    volumes = split_volumes(names, groups=asked, seed=seed, subjects=subjects)
    return Dataset(source, {"valid": ()} | volumes, subjects)
