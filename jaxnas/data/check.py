"""Reading everything once before a long run, and naming every file that would stop it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxnas.core.errors import UserError
from jaxnas.core.notices import warn
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.files import HDF5, Paths, expand, left_out, listed
from jaxnas.data.sampling import empty_share, filled_samples, is_fully_sampled
from jaxnas.data.source import Slice, Source
from jaxnas.data.views import rows_of


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
    problems, empty = [], set()
    undersampled: dict[str, list[Slice]] = {}
    for i, ref in enumerate(source.slices):
        try:
            item = source.read(i)
        except UserError as error:
            problems.append(Problem(file, str(error)))
            continue
        if not item.kspace.any():
            empty.add(i)
        elif ref.masked:
            _warn_of_mask(file, item)
        elif item.mask is not None:
            undersampled.setdefault(ref.volume, []).append(item)
    problems += [Problem(file, _why_undersampled(file, found)) for found in undersampled.values()]
    problems += [Problem(file, f"{file}: {text}") for text in _empty_volumes(source, empty)]
    return problems


def _empty_volumes(source: Source, empty: set[int]) -> list[str]:
    return [
        f"k-space of {name} is zero in all {len(rows)} slices; expected a scan, leave it out"
        for name, rows in rows_of(source.slices).items()
        if empty.issuperset(rows)
    ]


def _why_undersampled(file: Path, items: list[Slice]) -> str:
    first = items[0]
    return (
        f"{file}: slice {first.index} of {first.volume} has {empty_share(first.mask)} empty and "
        f"{len(items)} of its slices are undersampled though no mask says so; expected fully "
        "sampled k-space or a dataset 'mask', leave this file out of training"
    )


def _warn_of_mask(file: Path, item: Slice) -> None:
    """Says that a mask lies beside k-space which does not need one."""
    if is_fully_sampled(filled_samples(item.kspace)):
        warn(
            f"{file}: k-space is fully sampled, but a mask beside it leaves out "
            f"{empty_share(item.mask)}; reconstruct applies it, training refuses this file"
        )
