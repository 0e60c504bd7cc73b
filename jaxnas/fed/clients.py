"""The clients of a federated config, whatever the task: each one's data and its weight; and
clients.json, which keeps who they are so that a run can be applied without their data.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxnas.core.errors import UserError, naming
from jaxnas.core.sections import Experiment, placed
from jaxnas.data.splits import check_subjects, together
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.rundir import RunDir
from jaxnas.engine.task import DataOpener, Dataset
from jaxnas.fed.partition import Share, check_shares, divide, matching, stored_at
from jaxnas.mri.section import AcquisitionConfig


@dataclass(frozen=True)
class _Part:
    """The makings of a client: some `names` of one opened source, and the config of its own."""

    name: str
    config: Experiment
    source: Any
    names: tuple[str, ...]
    weight: float | None = None

    @property
    def origin(self) -> Hashable:
        """Equal for parts whose equal names are the same data, however they are cut."""
        kind, path, *rest = placed(self.config).data.place
        return (kind, stored_at(path), *rest)


def open_clients(config: Experiment, data: DataOpener) -> Cohort:
    """The clients of a config, each split into train, valid and test.

    With fractions every client is split by itself; with patterns or folds the whole data is, and a
    client has its part of each group. The weight is the one given, else the number of training
    slices or 1. UserError, naming the client, where it has no data, something or a subject is at
    two clients, no group is left to train on or to test, or it cannot be computed with the others.
    """
    divided = config.federated.partition is not None
    parts = _divided(config, data) if divided else _listed(config, data)
    check_shares([Share(p.name, p.origin, p.names) for p in parts], kind=data.unit)
    _check_subjects(parts, data)
    members = {part.name: _dataset(part, data) for part in parts}
    weights = tuple(_weight(config, part, members[part.name]) for part in parts)
    return Cohort(data.joined(config, members), weights)


def client_config(config: Experiment, name: str) -> Experiment:
    """The config of one client: that of all with the sections of its own."""
    client = next((c for c in config.federated.clients if c.name == name), None)
    own = {key: getattr(client, key, None) for key in ("data", "acquisition")}
    return config.model_copy(update={key: section for key, section in own.items() if section})


def describe_client(cohort: Cohort, name: str) -> str:
    """One line for a person: the data of a client and its weight."""
    weight = cohort.weights[cohort.names.index(name)]
    return f"client {name}: {cohort.members[name].describe()}, weight {weight:g}"


@dataclass(frozen=True)
class ClientEntry:
    """The facts that applying a reconstruction needs; `shape` (H, W) is that of its k-space."""

    name: str
    shape: tuple[int, int]
    coils: int
    acquisition: AcquisitionConfig


def write_clients(run_dir: RunDir, cohort: Cohort) -> None:
    """Writes clients.json."""
    run_dir.clients.write(
        [
            {"name": name, "weight": weight, **dataset.facts()}
            for (name, dataset), weight in zip(cohort.members.items(), cohort.weights)
        ]
    )


def read_clients(run_dir: RunDir) -> list[dict[str, Any]]:
    """The clients of a run of any task, as JSON; UserError where none has trained yet."""
    if not run_dir.clients.exists():
        raise UserError(f"{run_dir.path}: no client has trained yet; run jaxnas train first")
    return run_dir.clients.read()


def read_acquisitions(run_dir: RunDir) -> list[ClientEntry]:
    """The clients of a reconstruction, in order; UserError where none has trained yet."""
    return [
        ClientEntry(
            entry["name"],
            tuple(entry["shape"]),
            entry["coils"],
            AcquisitionConfig.model_validate(entry["acquisition"]),
        )
        for entry in read_clients(run_dir)
    ]


def _listed(config: Experiment, data: DataOpener) -> list[_Part]:
    """The clients that a config lists; those of one source share it."""
    clients = config.federated.clients
    configs = {client.name: client_config(config, client.name) for client in clients}
    share = len({data.source_key(own) for own in configs.values()})
    sources: dict[Hashable, Any] = {}
    parts = []
    for client in clients:
        own = configs[client.name]
        key = data.source_key(own)
        if key not in sources:
            with naming(f"client {client.name!r}"):
                sources[key] = data.open_source(own, share=share)
        names = data.names(sources[key])
        patterns = getattr(client, f"{data.unit}s")
        if patterns is not None:
            names = matching(client.name, patterns, names, kind=data.unit)
        parts.append(_Part(client.name, own, sources[key], names, client.weight))
    return parts


def _divided(config: Experiment, data: DataOpener) -> list[_Part]:
    """The clients that a partition makes of the config's data."""
    partition, source = config.federated.partition, data.open_source(config)
    subjects = data.subjects(config, source)
    if partition.method == "natural":  # everything where its label says; see `_check_subjects`
        subjects = {}
    units = together(data.names(source), subjects=subjects)
    parts = divide(
        partition,
        list(units),
        _labels_of_first(units, data, source),
        seed=config.seed,
        least=_least(config),
    )
    return [
        _Part(name, config, source, tuple(n for first in firsts for n in units[first]))
        for name, firsts in parts.items()
    ]


def _least(config: Experiment) -> int:
    """The names, or subjects, that a client needs for one in each group and half of a search.

    Patterns and folds split the whole data, so nothing can be promised to one client.
    """
    split = config.data.split
    if not split.by_fractions:
        return 1
    return 2 + (split.valid_fraction > 0) + ("search" in config.stages)


def _labels_of_first(
    units: dict[str, tuple[str, ...]], data: DataOpener, source: Any
) -> Callable[[str], dict[str, str]]:
    """Returns labels(by): the label of every subject is that of its first name."""

    def labels(by: str) -> dict[str, str]:
        found = data.labels(source, by)
        return {name: found[name] for name in units}

    return labels


def _check_subjects(parts: Sequence[_Part], data: DataOpener) -> None:
    """UserError for a subject of one data set at two clients, unless both may part subjects."""
    for origin in {part.origin for part in parts}:
        own = {part.name: part for part in parts if part.origin == origin}
        subjects = {name: data.subjects(part.config, part.source) for name, part in own.items()}
        kept = {name: part.names for name, part in own.items() if subjects[name]}
        if kept:
            known = next(known for known in subjects.values() if known)
            check_subjects(kept, subjects=known, kind="client")


def _dataset(part: _Part, data: DataOpener) -> Dataset:
    """The dataset of a client: split by itself, or its part of every group of the whole data."""
    alone = part.config.data.split.by_fractions
    with naming(f"client {part.name!r}"):
        dataset = data.dataset(part.config, part.source, names=part.names if alone else None)
    if not alone:
        own = {*part.names}
        parts = {g: tuple(n for n in names if n in own) for g, names in dataset.groups.items()}
        dataset = dataset.regrouped(parts)
    for group in ("train", "test"):
        if not dataset.groups[group]:
            raise UserError(
                f"client {part.name!r}: none of its {len(part.names)} {data.unit}s is in the group "
                f"{group!r}; change data.split or the {data.unit}s of this client"
            )
    return dataset


def _weight(config: Experiment, part: _Part, dataset: Dataset) -> float:
    if part.weight is not None:
        return float(part.weight)
    return float(dataset.count("train")) if config.federated.weights == "samples" else 1.0
