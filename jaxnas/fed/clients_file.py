"""clients.json: who takes part in a run, kept so that the run can be applied without their data."""

from dataclasses import dataclass
from typing import Any

from jaxnas.core.errors import UserError
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.rundir import RunDir
from jaxnas.mri.section import AcquisitionConfig


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
