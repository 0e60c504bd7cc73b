"""The labels of a config's data, by name: a config that says them needs no data to be applied."""

from collections.abc import Mapping
from typing import Any, TypeVar

from jaxnas.core.errors import UserError, naming
from jaxnas.core.sections import Experiment, placed
from jaxnas.data.readers import HEARTS, label_names

AnyExperiment = TypeVar("AnyExperiment", bound=Experiment)


def with_labels(config: AnyExperiment) -> AnyExperiment:
    """The config whose data sections name their labels, where these stand in files.

    A run remembers them so: its networks have as many classes, wherever its data are by then. A
    config of another task, and one that says all names, is returned as it is. UserError as
    `label_names`.
    """
    if config.task != "segmentation":
        return config
    found = placed(config)
    if config.federated is None or not _all_have_data(config):
        config = config.model_copy(update={"data": _named(config.data, found.data)})
    if config.federated is None or not config.federated.clients:
        return config
    clients = []
    for client, there in zip(config.federated.clients, found.federated.clients):
        if client.data is not None:
            with naming(f"client {client.name!r}"):
                data = _named(client.data, there.data)
            client = client.model_copy(update={"data": data})
        clients.append(client)
    federated = config.federated.model_copy(update={"clients": tuple(clients)})
    return config.model_copy(update={"federated": federated})


def config_labels(config: Any) -> tuple[str, ...]:
    """The names of the labels that a config's networks tell apart, background first.

    UserError where two clients have others, for one network serves them all.
    """
    sections = {"": placed(config).data}
    if config.federated is not None and config.federated.clients:
        clients = placed(config).federated.clients
        sections = {client.name: client.data or sections[""] for client in clients}
    found = {
        name: label_names(data.source, data.path, labels=data.labels)
        for name, data in sections.items()
    }
    return common_labels(found)


def common_labels(found: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The labels that all clients have, by their names; UserError naming two that differ."""
    first, *others = found
    for name in others:
        if found[name] != found[first]:
            raise UserError(
                f"client {first!r} has the labels {', '.join(found[first])}, client {name!r} "
                f"{', '.join(found[name])}; expected the same with the same numbers everywhere, "
                "for all clients train one network; relabel the files of one of them"
            )
    return found[first]


def _named(section: Any, there: Any) -> Any:
    """A data section with the names of its labels; `there` is the same, its path under the root."""
    if section.source in HEARTS or section.labels is not None:
        return section
    return section.model_copy(update={"labels": label_names(there.source, there.path)})


def _all_have_data(config: Any) -> bool:
    clients = config.federated.clients
    return bool(clients) and all(client.data is not None for client in clients)
