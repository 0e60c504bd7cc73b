"""`jaxnas data make|check|info`: data sets on disk."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jaxnas.core.errors import UserError
from jaxnas.core.schema import DataConfig
from jaxnas.data.check import check as find_problems
from jaxnas.data.info import summarise
from jaxnas.data.layouts import LAYOUTS
from jaxnas.data.open import SUFFIXES, check_fields, open_source
from jaxnas.data.source import Source
from jaxnas.data.synthetic import SyntheticSource


def make(
    out: Path,
    *,
    layout: str,
    volumes: int,
    slices: int,
    size: tuple[int, int],
    coils: int,
    seed: int,
) -> None:
    """Writes synthetic volumes in a public layout and names each file."""
    source = SyntheticSource(volumes=volumes, slices=slices, size=size, coils=coils, seed=seed)
    for path in LAYOUTS[layout](out, source):
        print(path)


def section(
    inputs: Sequence[Path],
    *,
    source: str,
    domain: str,
    dataset: str | None,
    axes: str | None,
    sens: str | None,
) -> DataConfig:
    """The data section that the options of `check` and `info` make up."""
    paths = tuple(str(path) for path in inputs)
    config = DataConfig(
        source=source, path=paths, domain=domain, dataset=dataset, axes=axes, sens=sens
    )
    check_fields(config)
    return config


def check(config: DataConfig) -> None:
    """Reads every file whole; UserError with one line per problem if there is any."""

    def reader(path: Path) -> Source:
        return _open(config.model_copy(update={"path": str(path)}))

    problems = find_problems(config.path, reader=reader, suffixes=SUFFIXES[config.source])
    if problems:
        raise UserError(
            "\n".join([f"{len(problems)} problem(s) found", *(p.message for p in problems)])
        )
    rows = summarise(_open(config))
    print(f"{len(rows)} volumes, {sum(row.slices for row in rows)} slices, no problem found")


def info(config: DataConfig, *, as_json: bool) -> None:
    """One row per volume; JSON also tells all labels."""
    rows = summarise(_open(config))
    if as_json:
        print(json.dumps([row._asdict() for row in rows], indent=2))
        return
    table = Table("volume", "slices", "k-space", "coils", "contrast", "undersampled")
    for row in rows:
        shape, contrast = f"{row.shape[0]}×{row.shape[1]}", row.labels.get("contrast", "")
        table.add_row(row.volume, str(row.slices), shape, str(row.coils), contrast, str(row.masked))
    Console().print(table)


def _open(config: DataConfig) -> Source:
    return open_source(config, seed=0)  # files have no seed
