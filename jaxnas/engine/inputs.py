"""inputs.json: what a run was begun on, so that it never goes on with something else.

Data may move while a run is interrupted. Where a volume came, went or changed sides, states would
not fit, or training volumes would come to be tested on.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxnas.core.errors import START_OVER, UserError
from jaxnas.engine.rundir import JsonFile


class Held(NamedTuple):
    """One volume of a data set: how many slices it has, and their (H, W)."""

    name: str
    slices: int
    shape: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.slices} slices of {self.shape[0]}×{self.shape[1]}"


# The volumes of train, valid and test, in the order of their source.
HeldGroups = Mapping[str, tuple[Held, ...]]


def describe_inputs(data: Mapping[str, HeldGroups], table: str | None) -> dict[str, Any]:
    """The content of inputs.json: the data of every site, fold or client, and a latency table."""
    digest = table and hashlib.sha256(Path(table).read_bytes()).hexdigest()
    sites = {
        site: {group: [list(held) for held in volumes] for group, volumes in groups.items()}
        for site, groups in data.items()
    }
    return {"schema": 1, "data": sites, "latency_table": digest}


def check_inputs(file: JsonFile, found: Mapping[str, Any]) -> None:
    """Raises UserError, naming the first difference, where a run was begun on other inputs."""
    if not file.exists():
        return
    before = file.read()
    changes = _changes(before["data"], found["data"])
    if before["latency_table"] != found["latency_table"]:
        changes = iter(["latency.table holds other times"])
    if change := next(changes, None):
        raise UserError(
            f"{file}: this run was begun on other inputs: {change}; restore what was, or begin "
            f"with these in another --workdir ({START_OVER})"
        )


def keep_inputs(file: JsonFile, found: Mapping[str, Any]) -> None:
    """Writes inputs.json, unless the run has one."""
    if not file.exists():
        file.write(found)


def _changes(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """The changes between the data of two times, in words."""
    for site in before | now:
        where = f"{site}: " if len(before | now) > 1 else ""
        if site not in now or site not in before:
            yield f"{site} {'is new' if site in now else 'is gone'}"
            continue
        old, new = _by_name(before[site]), _by_name(now[site])
        for name in old | new:
            if name not in new:
                yield f"{where}{name!r}, in {old[name][0]} then, is gone"
            elif name not in old:
                yield f"{where}{name!r}, in {new[name][0]} now, is new"
            elif old[name] != new[name]:
                (group, size), (other, other_size) = old[name], new[name]
                was, is_ = f"in {group} with {size}", f"in {other} with {other_size}"
                yield f"{where}{name!r} was {was}, and is {is_}"
        if list(old) != list(new):
            yield f"{where}the volumes come in another order"


def _by_name(groups: Mapping[str, Any]) -> dict[str, tuple[str, Held]]:
    """Every volume of a site: its group, and how large it is."""
    return {
        name: (group, Held(name, slices, tuple(shape)))
        for group, volumes in groups.items()
        for name, slices, shape in volumes
    }
