"""A case: one measurement in a fresh process, and the rows it is to give."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rows import Row

MODULES = (  # as they run: should time run out, what nothing is asked of is missing
    "ceiling",
    "supernet",
    "round",
    "inference",
    "candidates",
    "cold",
    "mri",
    "metrics",
    "pipeline",
    "decode",
    "rtdnas",
    "scaling",
)
FIRST = "ceiling"  # what the shares in the table are shares of


@dataclass(frozen=True)
class Case:
    """`measure(folder)` yields the rows named `rows`; `folder` is empty and its own.

    `suites` are those that it belongs to.
    """

    rows: tuple[str, ...]
    measure: Callable[[Path], Iterator[Row]]
    suites: tuple[str, ...] = ("cpu", "gpu")

    @property
    def name(self) -> str:
        """Its first row's."""
        return self.rows[0]


def cases_of(module: str) -> tuple[Case, ...]:
    """The cases of `bench_<module>.py`."""
    return importlib.import_module(f"benchmarks.bench_{module}").CASES


def select(suite: str, only: Iterable[str]) -> list[tuple[str, Case]]:
    """The (module, case) pairs of a suite, with `only` those with a row of such a name or below it.

    The ceilings are always among them. ValueError for a name that no row has.
    """
    every = [(m, c) for m in MODULES for c in cases_of(m) if suite in c.suites]
    only = list(only)
    for name in only:
        if not any(_matches(row, name) for _, case in every for row in case.rows):
            known = ", ".join(row for _, case in every for row in case.rows)
            raise ValueError(f"--only {name}: no such row; expected one of {known}")
    if not only:
        return every
    return [
        (module, case)
        for module, case in every
        if module == FIRST or any(_matches(row, name) for row in case.rows for name in only)
    ]


def _matches(row: str, name: str) -> bool:
    return row == name or row.startswith(f"{name}/")
