"""The places of a config's data: every relative path is looked up under one `root`."""

from pathlib import Path
from typing import Any, TypeVar

from jaxnas.core.sections import HERE, Experiment

AnExperiment = TypeVar("AnExperiment", bound=Experiment)


def placed(config: AnExperiment) -> AnExperiment:
    """The config with the paths of its data, and of its clients' own data, under its root."""
    if config.root == HERE:
        return config
    moved: dict[str, Any] = {"data": _under(config.root, config.data)}
    if config.federated is not None:
        clients = tuple(
            client.model_copy(update={"data": _under(config.root, client.data)})
            for client in config.federated.clients
        )
        moved["federated"] = config.federated.model_copy(update={"clients": clients})
    return config.model_copy(update=moved)


def anchored(config: AnExperiment) -> AnExperiment:
    """The config as a run remembers it: its root is found from any directory."""
    if config.root == HERE:
        return config
    return config.model_copy(update={"root": str(Path(config.root).expanduser().absolute())})


def keepers(config: Any) -> list[str]:
    """The clients whose data have a path of their own, which `data.path` does not change."""
    clients = [] if config.federated is None else config.federated.clients
    return [client.name for client in clients if client.data is not None and client.data.path]


def _under(root: str, data: Any) -> Any:
    if data is None or data.path is None:
        return data
    folder = Path(root).expanduser()
    several = not isinstance(data.path, str)
    path = tuple(str(folder / p) for p in data.path) if several else str(folder / data.path)
    return data.model_copy(update={"path": path})
