"""The clients of a federated segmentation: each one's patients, and its weight."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxnas.core.errors import UserError
from jaxnas.core.places import placed
from jaxnas.core.segmentation_schema import LabeledDataConfig, SegmentationConfig
from jaxnas.data.labeled import LabeledSource, patient_names
from jaxnas.data.labels import patient_labels
from jaxnas.engine.labeled import (
    LabeledDataset,
    open_labeled_source,
    open_preparation,
    split_patients,
)
from jaxnas.fed.shares import Share, check_shares, divide, matching, named, stored_at

GROUPS = ("train", "valid", "test")


@dataclass(frozen=True)
class LabeledClient:
    """One client: its patients, and what its update weighs in the average."""

    name: str
    dataset: LabeledDataset
    weight: float

    def slices(self, group: str) -> int:
        """The number of slices of its training, validation or test volumes."""
        return self.dataset.count(group)

    def to_json(self) -> dict[str, Any]:
        """Its entry in the roster of a run."""
        return {
            "name": self.name,
            "weight": self.weight,
            "shape": list(self.dataset.preparation.size),
            "patients": {group: list(self.dataset.patients[group]) for group in GROUPS},
            "slices": {group: self.slices(group) for group in GROUPS},
        }


@dataclass(frozen=True)
class _Part:
    """The part of one client: some patients of one opened data section."""

    name: str
    data: LabeledDataConfig
    source: LabeledSource
    patients: tuple[str, ...]
    weight: float | None = None


def open_labeled_clients(config: SegmentationConfig) -> tuple[LabeledClient, ...]:
    """The clients of a federated config, each split into train, valid and test by patient.

    With fractions every client is split by itself; with folds the whole data is, and a client has
    its part of each group. The weight is the one given, else the number of training slices or 1.
    UserError, naming the client, where it has no patient, one patient is at two clients, or none is
    left for a group.
    """
    config = placed(config)
    partition = config.federated.partition
    parts = _listed(config) if partition is None else _divided(config)
    owned = [Share(p.name, (p.data.source, stored_at(p.data.path)), p.patients) for p in parts]
    check_shares(owned, kind="patient")
    return tuple(_client(config, part) for part in parts)


def client_data(config: SegmentationConfig, name: str) -> LabeledDataConfig:
    """The data section of a client."""
    own = {client.name: client.data for client in config.federated.clients}
    return own.get(name) or config.data


def describe_labeled_client(client: LabeledClient) -> str:
    """One line for a person: patients and slices of every group, weight."""
    held = ", ".join(
        f"{len(client.dataset.patients[group])} {group} ({client.slices(group)} slices)"
        for group in GROUPS
    )
    return f"client {client.name}: {held}, weight {client.weight:g}"


def check_labeled_clients(config: SegmentationConfig, clients: Sequence[LabeledClient]) -> None:
    """UserError unless all prepared slices have one size."""
    sizes = {client.name: client.dataset.preparation.size for client in clients}
    for name, size in sizes.items():
        if size != config.data.size:
            raise UserError(
                f"client {name!r}: data.size is {size}, that of the config {config.data.size}; "
                f"expected one size everywhere, because clients are computed together"
            )


def _listed(config: SegmentationConfig) -> list[_Part]:
    """The clients that a config lists; those of one data section share its source."""
    sources: dict[LabeledDataConfig, LabeledSource] = {}
    parts = []
    for client in config.federated.clients:
        data = client.data or config.data
        if data not in sources:
            with named(f"client {client.name!r}"):
                sources[data] = open_labeled_source(data, seed=config.seed)
        patients = patient_names(sources[data])
        if client.patients is not None:
            patients = matching(client.name, client.patients, patients, kind="patient")
        parts.append(_Part(client.name, data, sources[data], patients, client.weight))
    return parts


def _divided(config: SegmentationConfig) -> list[_Part]:
    """The clients that a partition makes of the config's data."""
    source = open_labeled_source(config.data, seed=config.seed)
    parts = divide(
        config.federated.partition,
        patient_names(source),
        functools.partial(patient_labels, source),
        seed=config.seed,
        least=_least(config),
    )
    return [_Part(name, config.data, source, patients) for name, patients in parts.items()]


def _least(config: SegmentationConfig) -> int:
    """Patients a client needs so that its split, and its halves in a search, have one each.

    Folds split the whole data, so nothing can be promised to one client.
    """
    split = config.data.split
    if split.method != "fractions":
        return 1
    return 2 + (split.valid_fraction > 0) + ("search" in config.stages)


def _client(config: SegmentationConfig, part: _Part) -> LabeledClient:
    with named(f"client {part.name!r}"):
        patients = _split(part, config.seed)
    dataset = LabeledDataset(part.source, open_preparation(part.data), patients)
    lacking = [group for group in ("train", "test") if not patients[group]]
    if lacking:
        raise UserError(
            f"client {part.name!r}: none of its {len(part.patients)} patients is in the group "
            f"{lacking[0]!r}; change data.split or the patients of this client"
        )
    client = LabeledClient(part.name, dataset, 1.0)
    weight = part.weight
    if weight is None:
        weight = client.slices("train") if config.federated.weights == "samples" else 1.0
    return LabeledClient(part.name, dataset, float(weight))


def _split(part: _Part, seed: int) -> dict[str, tuple[str, ...]]:
    """The patients of a client in every group."""
    split = part.data.split
    if split.method == "fractions":
        return split_patients(part.patients, split, seed=seed)
    whole, own = split_patients(patient_names(part.source), split, seed=seed), set(part.patients)
    return {group: tuple(p for p in patients if p in own) for group, patients in whole.items()}
