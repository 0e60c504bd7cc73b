"""Tiny federated configs on the embedded heads, for tests of clients and their batches."""

from jaxnas.fed.clients import open_clients
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.reconstruction.source import KspaceData

SIZE = 16
ACQUISITION = {"accelerations": [2], "center_fractions": [0.2]}
CONTRASTS = ("T1", "T2", "FLAIR", "PD")


def volume(number):
    """The name of synthetic volume `number`."""
    return f"synthetic_{number:04d}_{CONTRASTS[number % 4]}"


def federated_config(*, volumes=16, split=None, federated=None, **sections):
    """A config of `volumes` synthetic volumes of three slices; `federated` keys on top of a local
    step per round and one client per contrast."""
    federated = {"local_steps": 1} | (federated or {})
    if "clients" not in federated:
        federated.setdefault("partition", {"method": "natural", "by": "contrast"})
    made = {"volumes": volumes, "slices": 3, "size": [SIZE, SIZE]}
    data = {"synthetic": made, "split": {"valid_fraction": 0.2} | (split or {})}
    return ReconstructionConfig.model_validate(
        {"data": data, "acquisition": ACQUISITION, "federated": federated} | sections
    )


def by_contrast(*names):
    """Clients called after contrasts, each with the volumes of its own."""
    return [{"name": name, "volumes": [f"*_{name}"]} for name in names]


def cohort_of(config):
    """The clients of a config."""
    return open_clients(config, KspaceData())
