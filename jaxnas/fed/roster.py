"""clients.json: who takes part in a run, kept so that the run can be applied without their data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jaxnas.core.errors import UserError
from jaxnas.core.files import read_json, write_json
from jaxnas.core.schema import AcquisitionConfig

ROSTER = "clients.json"


class Member(Protocol):
    """A client of any task."""

    name: str

    def to_json(self) -> dict[str, Any]:
        """Its name and weight, and which data it has, as JSON."""


@dataclass(frozen=True)
class Entry:
    """What applying a run needs to know of a client; `shape` (H, W) is that of its k-space."""

    name: str
    shape: tuple[int, int]
    coils: int
    acquisition: AcquisitionConfig


def write_roster(run_dir: Path, clients: Sequence[Member]) -> None:
    """Writes clients.json."""
    write_json(run_dir / ROSTER, [client.to_json() for client in clients])


def read_roster(run_dir: Path) -> list[Entry]:
    """The clients of a run, in order; UserError where none has trained yet."""
    return [
        Entry(
            entry["name"],
            tuple(entry["shape"]),
            entry["coils"],
            AcquisitionConfig.model_validate(entry["acquisition"]),
        )
        for entry in read_members(run_dir)
    ]


def read_members(run_dir: Path) -> list[dict[str, Any]]:
    """What the clients of any task say of themselves; UserError where none has trained yet."""
    file = run_dir / ROSTER
    if not file.is_file():
        raise UserError(f"{run_dir}: no client has trained yet; run jaxnas train first")
    return read_json(file)
