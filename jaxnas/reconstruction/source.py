"""From the sections of a config to the data of a reconstruction, at one site or of clients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from jaxnas.core.errors import UserError, naming
from jaxnas.core.sections import placed
from jaxnas.data.open import open_source
from jaxnas.data.section import DataConfig
from jaxnas.data.source import SliceRef, Source
from jaxnas.data.views import (
    Cached,
    Calibrated,
    CoilCombined,
    Cropped,
    FullySampled,
    Padded,
    Thinned,
)
from jaxnas.engine.slices import SliceData
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.reconstruction.acquire import check_masks
from jaxnas.reconstruction.dataset import Draws, KspaceDataset
from jaxnas.reconstruction.networks import check_coils
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.spaces.section import NetworkConfig

CACHE_BYTES = 2 << 30


class Center(NamedTuple):
    """The part of k-space that every mask of an acquisition samples: a `fraction` of the columns,
    or where masks are of `points` the ellipse of that fraction of height and width."""

    fraction: float
    points: bool


@dataclass(frozen=True)
class KspaceData(SliceData):
    """The `DataOpener` of a reconstruction."""

    def source_key(self, config: ReconstructionConfig) -> tuple[DataConfig, Center]:
        """Two clients read one source where they have one data section and one centre."""
        return config.data, common_center(config.acquisition)

    def open_source(self, config: ReconstructionConfig, *, share: int = 1) -> Source:
        """The slices as the networks of `config` see them; UserError as in `ready_source`."""
        data = placed(config).data
        return ready_source(
            self.given or open_source(data, seed=config.seed),
            data,
            config.network,
            center=common_center(config.acquisition),
            cache_bytes=CACHE_BYTES // share,
        )

    def dataset(
        self,
        config: ReconstructionConfig,
        source: Source,
        *,
        names: Sequence[str] | None = None,
        fold: int | None = None,
    ) -> KspaceDataset:
        """The volumes `names`, split as the config says. There are no folds."""
        dataset = super().dataset(config, source, names=names, fold=fold)
        return KspaceDataset(**vars(dataset), acquisition=config.acquisition)

    def joined(
        self, config: ReconstructionConfig, members: Mapping[str, KspaceDataset]
    ) -> dict[str, KspaceDataset]:
        """Clients whose batches come with masks of one shape, and noise where one has it.

        UserError unless all training slices have one shape, coil count and scale, and every mask
        can be drawn: the clients are computed together, with one network.
        """
        del config
        (first, reference), *_ = members.items()
        for name, dataset in members.items():
            _check_alike(name, dataset, first, reference)
            with naming(f"client {name!r}"):
                check_masks(dataset.acquisition, dataset.sizes)
        acquisitions = [dataset.acquisition for dataset in members.values()]
        draws = Draws(
            points=not all(acquisition.whole_columns for acquisition in acquisitions),
            noise=any(acquisition.noise for acquisition in acquisitions),
        )
        return {name: replace(dataset, draws=draws) for name, dataset in members.items()}

    def check(self, dataset: KspaceDataset) -> None:
        """UserError for a volume that is not fully sampled, and for masks that cannot be drawn."""
        dataset.check_sampled()
        check_masks(dataset.acquisition, dataset.sizes)


def open_dataset(config: ReconstructionConfig) -> KspaceDataset:
    """The dataset of a config at one site."""
    data = KspaceData()
    return data.dataset(config, data.open_source(config))


def common_center(acquisition: AcquisitionConfig) -> Center:
    """The center of k-space that the masks of every acceleration sample."""
    return Center(min(acquisition.center_fractions), not acquisition.whole_columns)


def ready_source(
    source: Source,
    config: DataConfig,
    network: NetworkConfig,
    *,
    center: Center,
    cache_bytes: int = CACHE_BYTES,
) -> Source:
    """The slices of a data section as `network` sees them, kept decoded up to `cache_bytes`.

    Thinned, given coil maps where they have none, combined, padded, cropped, cached. What
    is not fully sampled is refused when it is read, or before by `KspaceDataset.check_sampled`.
    Coil maps may only know the `center` of k-space, which every acceleration samples. UserError
    where there is nothing to read, a pad or crop does not fit, or the network has no λ for several
    coils.
    """
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


def _check_alike(name: str, dataset: KspaceDataset, first: str, reference: KspaceDataset) -> None:
    expected = reference.source.slices[reference.slices("train")[0]]
    for i in dataset.slices("train"):
        ref = dataset.source.slices[i]
        if (ref.shape, ref.coils) != (expected.shape, expected.coils):
            raise UserError(
                f"client {name!r}: volume {ref.volume!r} is {_kind(ref)}, but "
                f"{expected.volume!r} of client {first!r} is {_kind(expected)}; "
                f"expected one size and coil count everywhere, set data.crop, data.pad or "
                f"data.coils"
            )
    peak, expected_peak = dataset.acquisition.peak, reference.acquisition.peak
    if peak != expected_peak:
        raise UserError(
            f"client {name!r}: acquisition.peak is {peak:g}, client {first!r} has "
            f"{expected_peak:g}; expected one scale for the network they share"
        )


def _kind(ref: SliceRef) -> str:
    coils = f"{ref.coils} coil{'s' if ref.coils > 1 else ''}"
    return f"{ref.shape[0]}×{ref.shape[1]} with {coils}"
