"""Reading everything once before a long run, and naming every file that would stop it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxnas.core.errors import UserError
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.files import HDF5, Paths, find_files, listed
from jaxnas.data.source import Source


class Problem(NamedTuple):
    """One thing that is wrong, and the file or folder it is wrong with."""

    path: Path
    message: str


def check(
    paths: Paths,
    *,
    reader: Callable[[Path], Source] = FastMRISource,
    suffixes: tuple[str, ...] = HDF5,
) -> list[Problem]:
    """Opens every file of `paths` with `reader` and reads every slice; all problems, in order.

    An empty list means that the data can be used.
    """
    problems = []
    for path in map(Path, listed(paths)):
        try:
            files = find_files(path, suffixes=suffixes)
        except UserError as error:
            problems.append(Problem(path, str(error)))
        else:
            problems += [problem for file in files for problem in _check_file(file, reader)]
    return problems


def _check_file(file: Path, reader: Callable[[Path], Source]) -> list[Problem]:
    try:
        source = reader(file)
    except UserError as error:
        return [Problem(file, str(error))]
    problems = []
    for i in range(len(source.slices)):
        try:
            source.read(i)
        except UserError as error:
            problems.append(Problem(file, str(error)))
    return problems
