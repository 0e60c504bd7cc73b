"""`jaxnas data make|check|info`: data sets on disk."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jaxnas.core.errors import UserError
from jaxnas.data.check import check as find_problems
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.info import summarise
from jaxnas.data.make import make_dataset
from jaxnas.data.synthetic import SyntheticSource


def make(
    out: Path, *, volumes: int, slices: int, size: tuple[int, int], coils: int, seed: int
) -> None:
    """Writes synthetic volumes in the fastMRI layout and names each file."""
    source = SyntheticSource(volumes=volumes, slices=slices, size=size, coils=coils, seed=seed)
    for path in make_dataset(out, source):
        print(path)


def check(inputs: Sequence[Path]) -> None:
    """Reads every file whole; UserError with one line per problem if there is any."""
    problems = find_problems(inputs)
    if problems:
        raise UserError(
            "\n".join([f"{len(problems)} problem(s) found", *(p.message for p in problems)])
        )
    rows = summarise(FastMRISource(inputs))
    print(f"{len(rows)} volumes, {sum(row.slices for row in rows)} slices, no problem found")


def info(inputs: Sequence[Path], *, as_json: bool) -> None:
    """One row per volume: slices, k-space size, coils, whether it is undersampled."""
    rows = summarise(FastMRISource(inputs))
    if as_json:
        print(json.dumps([row._asdict() for row in rows], indent=2))
        return
    table = Table("volume", "slices", "k-space", "coils", "undersampled")
    for row in rows:
        shape = f"{row.shape[0]}×{row.shape[1]}"
        table.add_row(row.volume, str(row.slices), shape, str(row.coils), str(row.masked))
    Console().print(table)
