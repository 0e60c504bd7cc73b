"""The clients of a federated run: from the config to each one's data, acquisition and weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxnas.core.errors import UserError
from jaxnas.core.federated_schema import PartitionConfig
from jaxnas.core.places import placed
from jaxnas.core.schema import AcquisitionConfig, Config, DataConfig
from jaxnas.data.labels import volume_labels
from jaxnas.data.source import Source, volume_names
from jaxnas.data.splits import check_subjects, subjects_of, together
from jaxnas.engine.sources import (
    CACHE_BYTES,
    Center,
    Dataset,
    common_center,
    ready_source,
    split_dataset,
)
from jaxnas.fed.shares import Share, check_shares, divide, matching, named, stored_at


@dataclass(frozen=True)
class Client:
    """One client: its volumes, how it acquires, and what its update weighs in the average."""

    name: str
    dataset: Dataset
    acquisition: AcquisitionConfig
    weight: float

    def to_json(self) -> dict[str, Any]:
        """Its entry in the roster of a run; `shape` (H, W) is that of its k-space."""
        dataset = self.dataset
        ref = dataset.source.slices[dataset.slices("train")[0]]
        return {
            "name": self.name,
            "weight": self.weight,
            "shape": list(ref.shape),
            "coils": ref.coils,
            "acquisition": self.acquisition.model_dump(mode="json"),
            "volumes": {split: list(names) for split, names in dataset.volumes.items()},
            "slices": {split: len(dataset.slices(split)) for split in dataset.volumes},
        }


@dataclass(frozen=True)
class _Share:
    """The share of one client: some volumes of one opened data section."""

    name: str
    data: DataConfig
    source: Source
    volumes: tuple[str, ...]
    acquisition: AcquisitionConfig
    weight: float | None = None


def open_clients(config: Config) -> tuple[Client, ...]:
    """The clients of a federated config, each split into train, valid and test by volume.

    With fractions every client is split by itself; with patterns the whole data is, and a client
    has its part of each group. The weight is the one given, else the number of training slices or
    1. UserError, naming the client, where it has no data, a volume or a subject is at two
    clients, or no volume is left for a group.
    """
    config = placed(config)
    if config.federated.partition is None:
        shares = _listed(config)
    else:
        shares = _parted(config, config.federated.partition)
    owned = [Share(share.name, _origin(share.data), share.volumes) for share in shares]
    check_shares(owned, kind="volume")
    _check_subjects(shares)
    return tuple(_client(config, share) for share in shares)


def describe_client(client: Client) -> str:
    """One line for a person: volumes and slices of every group, acquisition, weight."""
    held = ", ".join(
        f"{len(client.dataset.volumes[group])} {group} ({len(client.dataset.slices(group))} slices)"
        for group in ("train", "valid", "test")
    )
    factors = ", ".join(f"{a:g}×" for a in client.acquisition.accelerations)
    mask = f"{client.acquisition.mask} {factors}"
    return f"client {client.name}: {held}, {mask}, weight {client.weight:g}"


def _listed(config: Config) -> list[_Share]:
    """The clients that a config lists; those of one data section share its source."""
    asked = [
        (client, client.data or config.data, client.acquisition or config.acquisition)
        for client in config.federated.clients
    ]
    kinds = {(data, common_center(acquisition)) for _, data, acquisition in asked}
    sources: dict[tuple[DataConfig, Center], Source] = {}
    shares = []
    for client, data, acquisition in asked:
        kind = (data, common_center(acquisition))
        if kind not in sources:
            with named(f"client {client.name!r}"):
                sources[kind] = _open(config, *kind, CACHE_BYTES // len(kinds))
        names = volume_names(sources[kind])
        volumes = names
        if client.volumes is not None:
            volumes = matching(client.name, client.volumes, names, kind="volume")
        shares.append(_Share(client.name, data, sources[kind], volumes, acquisition, client.weight))
    return shares


def _parted(config: Config, partition: PartitionConfig) -> list[_Share]:
    """The clients that a partition makes of the config's data."""
    source = _open(config, config.data, common_center(config.acquisition), CACHE_BYTES)
    subjects = subjects_of(source, by=config.data.split.by)
    if partition.method == "natural":  # every volume where its label says; see `_check_subjects`
        subjects = {}
    units = together(volume_names(source), subjects=subjects)

    def labels(by: str) -> dict[str, str]:
        """The labels of subjects, each that of its first volume."""
        found = volume_labels(source, by)
        return {name: found[name] for name in units}

    parts = divide(partition, list(units), labels, seed=config.seed, least=_least(config))
    return [
        _Share(
            name,
            config.data,
            source,
            tuple(volume for first in firsts for volume in units[first]),
            config.acquisition,
        )
        for name, firsts in parts.items()
    ]


def _check_subjects(shares: Sequence[_Share]) -> None:
    """UserError for a subject of one data set at two clients, unless both split by volume."""
    for origin in {_origin(share.data) for share in shares}:
        own = [s for s in shares if _origin(s.data) == origin and s.data.split.by == "subject"]
        if own:
            subjects = subjects_of(own[0].source, by="subject")
            parts = {share.name: share.volumes for share in own}
            check_subjects(parts, subjects=subjects, kind="client")


def _least(config: Config) -> int:
    """Volumes, or subjects, that a client needs for one in each split and half of a search.

    Patterns split the whole data, so nothing can be promised to one client.
    """
    split = config.data.split
    if split.train is not None:
        return 1
    return 2 + (split.valid_fraction > 0) + ("search" in config.stages)


def _open(config: Config, data: DataConfig, center: Center, cache_bytes: int) -> Source:
    return ready_source(
        data,
        config.network,
        center=center,
        seed=config.seed,
        cache_bytes=cache_bytes,
    )


def _client(config: Config, share: _Share) -> Client:
    with named(f"client {share.name!r}"):
        dataset = _split(share, config.seed)
    if not dataset.volumes["train"] or not dataset.volumes["test"]:
        lacking = "test" if dataset.volumes["train"] else "training"
        raise UserError(
            f"client {share.name!r}: none of its {len(share.volumes)} volumes is a {lacking} "
            f"volume; change data.split or the volumes of this client"
        )
    weight = share.weight
    if weight is None:
        samples = config.federated.weights == "samples"
        weight = len(dataset.slices("train")) if samples else 1.0
    return Client(share.name, dataset, share.acquisition, float(weight))


def _split(share: _Share, seed: int) -> Dataset:
    split = share.data.split
    if split.train is None:
        return split_dataset(share.source, share.volumes, split, seed=seed)
    whole = split_dataset(share.source, volume_names(share.source), split, seed=seed)
    own = set(share.volumes)
    parts = {
        group: tuple(volume for volume in volumes if volume in own)
        for group, volumes in whole.volumes.items()
    }
    return Dataset(share.source, parts, whole.subjects)


def _origin(data: DataConfig) -> tuple:
    """The identity of volumes beside their name: where they are stored, not how they are cut."""
    return (data.source, stored_at(data.path), data.dataset)
