"""Readers' names of models, strategies and methods.

A method is addressed as in the files of a run: `<model>` or, where clients trained it together,
`<model>/<label of the strategy>`.
"""

from typing import Any

MODEL_TITLES = {
    "zero_filled": "zero-filled",
    "tv": "TV",
    "fedautomri_baseline": "manual baseline",
    "derived": "searched (derived)",
    "ms_nas": "MS-NAS",
    "hw_nas": "HW-aware NAS",
    "bix_unet": "BiX-NAS",
    "unet2d": "U-Net 2D",
}
DECODER_TITLES = {
    "dijkstra": "Dijkstra",
    "ga": "Genetic",
    "exhaustive": "Exhaustive",
    "constrained": "Constrained",
}
RANDOM = "random"  # the decoder of a network that was drawn, not searched
STRATEGY_TITLES = {
    "non_fed": "Non-Fed",
    "fedavg": "FedAvg",
    "fedprox": "FedProx",
    "fedmri": "FedMRI",
    "fedautomri": "FedAutoMRI",
    "fedavgm": "FedAvgM",
    "fedadam": "FedAdam",
    "scaffold": "SCAFFOLD",
}
UNTRAINED = ("zero_filled", "tv")
SEARCH = "search"
EVERYONE = "all"  # what a row of all clients has for a client


def method_key(row: dict[str, Any]) -> str:
    """The method of a row of metrics.json or slices.csv: `tv`, `unet`, `derived/fedavg`."""
    return "/".join(filter(None, (row["model"], row.get("strategy"))))


def method_parts(key: str) -> tuple[str, str]:
    """A reader's names of the model and of the strategy; the latter is empty without one."""
    model, _, label = key.partition("/")
    if not label:
        return MODEL_TITLES.get(model, model), ""
    name = "searched" if model == "derived" else MODEL_TITLES.get(model, model)
    return name, STRATEGY_TITLES.get(label, label)


def method_name(key: str) -> str:
    """A reader's name of a method: `searched (derived)`, `searched · FedAutoMRI`."""
    return " · ".join(filter(None, method_parts(key)))


def entry_name(key: str) -> str:
    """A reader's name of the search, or of a method."""
    return "the search" if key == SEARCH else method_name(key)


def method_rank(key: str) -> int:
    """The rank to sort methods by: untrained ones first, searched networks last."""
    return 0 if key in UNTRAINED else 1 + key.startswith("derived")


def row_name(row: dict[str, Any]) -> str:
    """A reader's name of the method of a row."""
    return method_name(method_key(row))
