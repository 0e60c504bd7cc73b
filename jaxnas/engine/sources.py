"""From a config's data section to slices: opened, calibrated, cropped, cached, split by volume."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxnas.core.schema import Config, DataConfig, SplitConfig
from jaxnas.data.arrays import ArraySource
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.source import Source, volume_names
from jaxnas.data.splits import halve, slice_indices, split_volumes
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.views import Cached, Calibrated, Cropped
from jaxnas.models.networks import check_coils

CACHE_BYTES = 2 << 30

Indices = tuple[int, ...]


@dataclass(frozen=True)
class Dataset:
    """A source and the names of its volumes in `train`, `valid` and `test`."""

    source: Source
    volumes: Mapping[str, tuple[str, ...]]

    def slices(self, split: str) -> Indices:
        """The numbers of the slices of a split, in the source's order."""
        return slice_indices(self.source, self.volumes[split])

    def halves(self, seed: int) -> tuple[Indices, Indices]:
        """train_ω and train_α: the training volumes halved at random, by volume."""
        first, second = halve(self.volumes["train"], seed)
        return slice_indices(self.source, first), slice_indices(self.source, second)


def open_dataset(config: Config) -> Dataset:
    """Opens the source of a config as its networks see it, and splits it by volume.

    Raises UserError where there is nothing to read, a crop does not fit, a split is empty or the
    network has no λ for several coils.
    """
    source: Source = open_source(config.data, seed=config.seed)
    for ref in source.slices:
        check_coils(config.network, ref.coils, where=ref.volume)
    # Coil maps may only know the centre of k-space that every acceleration samples.
    source = Calibrated(source, fraction=min(config.acquisition.center_fractions))
    if config.data.crop is not None:
        source = Cropped(source, config.data.crop)
    source = Cached(source, max_bytes=CACHE_BYTES)
    return Dataset(source, _split(volume_names(source), config.data.split, config.seed))


def open_source(config: DataConfig, *, seed: int) -> Source:
    """The source that a data section names."""
    if config.source == "synthetic":
        made = config.synthetic
        return SyntheticSource(
            volumes=made.volumes, slices=made.slices, size=made.size, coils=made.coils, seed=seed
        )
    if config.source == "arrays":
        return ArraySource(config.path, domain=config.domain, axes=config.axes, sens=config.sens)
    return FastMRISource(config.path)


def _split(names: Sequence[str], config: SplitConfig, seed: int) -> dict[str, tuple[str, ...]]:
    """The volumes of train, valid and test; valid may be empty."""
    if config.train is None:
        groups = {
            "train": 1.0 - config.valid_fraction - config.test_fraction,
            "valid": config.valid_fraction,
            "test": config.test_fraction,
        }
    else:
        groups = {"train": config.train, "valid": config.valid, "test": config.test}
    asked = {name: group for name, group in groups.items() if group}
    return {"valid": ()} | split_volumes(names, groups=asked, seed=seed)
