"""Reading everything once before a long run, and naming every file that would stop it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxnas.core.errors import UserError
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.files import HDF5, Paths, expand, left_out, listed
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
            files = expand(path, suffixes=suffixes)
        except UserError as error:
            problems.append(Problem(path, str(error)))
        else:
            problems += _check_folder(path, suffixes)
            problems += [problem for file in files for problem in _check_file(file, reader)]
    return problems


def _check_folder(path: Path, suffixes: tuple[str, ...]) -> list[Problem]:
    """What a folder holds and nobody would read."""
    skipped = left_out(path, suffixes=suffixes) if path.is_dir() else []
    return [Problem(path / name, _why_left_out(path / name, suffixes)) for name in skipped]


def _why_left_out(path: Path, suffixes: tuple[str, ...]) -> str:
    if path.is_symlink() and not path.exists():
        return (
            f"{path}: is a link to {path.readlink()}, which does not exist, and left out; "
            "expected a file, fetch its content or remove the link"
        )
    return (
        f"{path}: is no {' or '.join(suffixes)} file and left out; expected one, move it "
        "elsewhere or name the files one by one"
    )


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
