"""clients.json: who takes part in a run, kept so that the run can be applied without their data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnas.core.errors import UserError
from jaxnas.core.files import read_json, write_json
from jaxnas.core.schema import AcquisitionConfig
from jaxnas.fed.clients import Client

ROSTER = "clients.json"


@dataclass(frozen=True)
class Entry:
    """What applying a run needs to know of a client; `shape` (H, W) is that of its k-space."""

    name: str
    shape: tuple[int, int]
    coils: int
    acquisition: AcquisitionConfig


def write_roster(run_dir: Path, clients: Sequence[Client]) -> None:
    """Writes clients.json."""
    write_json(run_dir / ROSTER, [_to_json(client) for client in clients])


def read_roster(run_dir: Path) -> list[Entry]:
    """The clients of a run, in order; UserError where none has trained yet."""
    file = run_dir / ROSTER
    if not file.is_file():
        raise UserError(f"{run_dir}: no client has trained yet; run jaxnas train first")
    return [
        Entry(
            entry["name"],
            tuple(entry["shape"]),
            entry["coils"],
            AcquisitionConfig.model_validate(entry["acquisition"]),
        )
        for entry in read_json(file)
    ]


def check_roster(run_dir: Path, clients: Sequence[Client]) -> None:
    """Raises UserError where a run was begun with other data: its states would not fit, or training
    volumes would come to be tested on."""
    file = run_dir / ROSTER
    if not file.is_file():
        return
    before = {entry["name"]: entry for entry in read_json(file)}
    now = {client.name: _to_json(client) for client in clients}
    for name in before | now:
        if before.get(name) != now.get(name):
            raise UserError(
                f"{file}: client {name!r} has other data than when this run began; restore its "
                f"volumes, or start over with --fresh"
            )


def _to_json(client: Client) -> dict[str, Any]:
    dataset = client.dataset
    ref = dataset.source.slices[dataset.slices("train")[0]]
    return {
        "name": client.name,
        "weight": client.weight,
        "shape": list(ref.shape),
        "coils": ref.coils,
        "acquisition": client.acquisition.model_dump(mode="json"),
        "volumes": {split: list(names) for split, names in dataset.volumes.items()},
        "slices": {split: len(dataset.slices(split)) for split in dataset.volumes},
    }
