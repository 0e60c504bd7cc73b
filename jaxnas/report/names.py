"""Readers' names of models, strategies and methods.

A method is addressed as in the files of a run: `<model>` or, where clients trained it together,
`<model>/<label of the strategy>`.
"""

from typing import Any

from jaxnas.fed.registry import STRATEGIES
from jaxnas.models.registry import LABEL_MODELS, MODELS

MODEL_TITLES = {  # of what no registry has
    "zero_filled": "zero-filled",
    "tv": "TV",
    "derived": "searched (derived)",
    "ms_nas": "MS-NAS",
    "hw_nas": "HW-aware NAS",
}
UNTRAINED = ("zero_filled", "tv")
SEARCH, SELECT = "search", "select"
EVERYONE = "all"  # what a row of all clients has for a client


def method_key(row: dict[str, Any]) -> str:
    """The method of a row of metrics.json or slices.csv: `tv`, `unet`, `derived/fedavg`."""
    return "/".join(filter(None, (row["model"], row.get("strategy"))))


def method_parts(key: str) -> tuple[str, str]:
    """A reader's names of the model and of the strategy; the latter is empty without one."""
    model, _, label = key.partition("/")
    if not label:
        return model_title(model), ""
    name = "searched" if model == "derived" else model_title(model)
    return name, STRATEGIES.title(label)


def model_title(model: str) -> str:
    """A reader's name of a model, the model itself where it has no other."""
    registry = LABEL_MODELS if model in LABEL_MODELS.own else MODELS
    return MODEL_TITLES.get(model) or registry.title(model)


def method_name(key: str) -> str:
    """A reader's name of a method: `searched (derived)`, `searched · FedAutoMRI`."""
    return " · ".join(filter(None, method_parts(key)))


def entry_name(key: str) -> str:
    """A reader's name of the search, of the selection, or of a method."""
    names = {SEARCH: "the search", SELECT: "the selection"}
    return names.get(key) or method_name(key)


def method_rank(key: str) -> int:
    """The rank to sort methods by: untrained ones first, searched networks last."""
    return 0 if key in UNTRAINED else 1 + key.startswith("derived")


def row_name(row: dict[str, Any]) -> str:
    """A reader's name of the method of a row."""
    return method_name(method_key(row))
