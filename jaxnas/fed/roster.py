"""clients.json: who takes part in a run, kept so that the run can be applied without their data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jaxnas.core.errors import UserError
from jaxnas.core.schema import AcquisitionConfig
from jaxnas.engine.rundir import RunDir


class Described(Protocol):
    """A client of any task."""

    name: str

    def to_json(self) -> dict[str, Any]:
        """Its name and weight, and which data it has, as JSON."""


@dataclass(frozen=True)
class ClientEntry:
    """The facts of a client that applying a run needs; `shape` (H, W) is that of its k-space."""

    name: str
    shape: tuple[int, int]
    coils: int
    acquisition: AcquisitionConfig


def write_roster(run_dir: RunDir, clients: Sequence[Described]) -> None:
    """Writes clients.json."""
    run_dir.clients.write([client.to_json() for client in clients])


def read_roster(run_dir: RunDir) -> list[ClientEntry]:
    """The clients of a run, in order; UserError where none has trained yet."""
    return [
        ClientEntry(
            entry["name"],
            tuple(entry["shape"]),
            entry["coils"],
            AcquisitionConfig.model_validate(entry["acquisition"]),
        )
        for entry in read_members(run_dir)
    ]


def read_members(run_dir: RunDir) -> list[dict[str, Any]]:
    """The clients of a run of any task, as JSON; UserError where none has trained yet."""
    if not run_dir.clients.exists():
        raise UserError(f"{run_dir.path}: no client has trained yet; run jaxnas train first")
    return run_dir.clients.read()
