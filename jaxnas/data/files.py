"""The sorted files behind what the user names: a folder, a file or several of them."""

from collections.abc import Sequence
from pathlib import Path

from jaxnas.core.errors import UserError
from jaxnas.core.notices import warn

HDF5 = (".h5", ".hdf5")
NIFTI = (".nii", ".nii.gz")
SINGLE = (".npy", *NIFTI)  # formats of one array
ARRAYS = (*SINGLE, ".npz", *HDF5)

NAMED = 10  # of what was left out, in one line

PathLike = str | Path | Sequence[str | Path]


def find_files(paths: PathLike, *, suffixes: tuple[str, ...] = HDF5) -> tuple[Path, ...]:
    """The named files, and for each folder its files with one of `suffixes`, sorted by name.

    Hidden files are left out; of what else may have been meant (see `left_out`) a warning says so.
    A missing path, a folder without such files and two files of the same name (names seed masks
    and identify volumes) raise UserError.
    """
    folders = [Path(path) for path in listed(paths)]
    files = [file for path in folders for file in expand_paths(path, suffixes=suffixes)]
    for path in folders:
        _warn_of_rest(path, suffixes)
    if not files:
        raise UserError("no data path given; expected a folder or files, set the data path")
    seen: dict[str, Path] = {}
    for file in files:
        if file.name in seen:
            raise UserError(
                f"{file}: has the same name as {seen[file.name]}; "
                "expected unique file names, rename one or leave it out"
            )
        seen[file.name] = file
    return tuple(files)


def listed(paths: PathLike) -> Sequence[str | Path]:
    """`paths` as a sequence, also where it is a single path."""
    return [paths] if isinstance(paths, str | Path) else paths


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """True if the name of `path` ends with one of `suffixes`, whatever their case."""
    return path.name.lower().endswith(suffixes)


def expand_paths(path: Path, *, suffixes: tuple[str, ...]) -> list[Path]:
    """The files that one path names: itself, or those in the folder, sorted; UserError if none."""
    if path.is_file():
        return [path]
    if path.is_symlink() and not path.exists():
        raise UserError(
            f"{path}: is a link to {path.readlink()}, which does not exist; expected a file or "
            "folder, fetch its content or correct the link"
        )
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder; expected data there, check the path")
    entries = visible(path)
    files = [entry for entry in entries if _is_one(entry, suffixes)]
    if not files:
        skipped = left_out(path, suffixes=suffixes)
        also = f" ({len(skipped)} cannot be used: {some(skipped)})" if skipped else ""
        raise UserError(
            f"{path}: no {_wanted(suffixes)} file among the {len(entries)} entries of this "
            f"folder{also}; expected at least one, name the folder that holds the volumes"
        )
    return files


def visible(path: Path) -> list[Path]:
    """The entries of a folder but the hidden ones, sorted; UserError where it cannot be listed."""
    try:
        return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise UserError(
            f"{path}: cannot be listed ({error.strerror}); expected a folder of data, change its "
            "permissions or name another one"
        ) from None


def left_out(path: Path, *, suffixes: tuple[str, ...]) -> list[str]:
    """Entries of a folder that hold data, as far as their names tell, but that `find_files` skips.

    A link to nothing (such as a file of git-annex whose content was not fetched), whatever is
    called like a file and is none, and arrays in a format that `suffixes` does not name. Notes,
    scripts and hidden files are no data.
    """
    known = (*suffixes, *ARRAYS)
    return [
        entry.name
        for entry in visible(path)
        if not _is_one(entry, suffixes) and (has_suffix(entry, known) or not entry.exists())
    ]


def describe_left_out(folder: Path, names: Sequence[str], *, total: int, expected: str) -> str:
    """One sentence that counts and names what of the `total` entries of `folder` is not used."""
    return (
        f"{folder}: {len(names)} of {total} entries left out: {some(names)}; expected "
        f"{expected}, repair these or move them elsewhere"
    )


def some(names: Sequence[str]) -> str:
    """The first names, and how many there are more."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def why_left_out(path: Path, *, expected: str) -> str:
    """One sentence about an entry that is not used: it is no `expected`, or a link to nothing."""
    if path.is_symlink() and not path.exists():
        return (
            f"{path}: is a link to {path.readlink()}, which does not exist, and left out; "
            "expected its target, fetch the content or remove the link"
        )
    return (
        f"{path}: is no {expected} and left out; expected one, rename it, move it elsewhere or "
        "name what is to be read one by one"
    )


def _warn_of_rest(path: Path, suffixes: tuple[str, ...]) -> None:
    skipped = left_out(path, suffixes=suffixes) if path.is_dir() else []
    if skipped:
        total, expected = len(visible(path)), f"{_wanted(suffixes)} files"
        warn(describe_left_out(path, skipped, total=total, expected=expected))


def _is_one(entry: Path, suffixes: tuple[str, ...]) -> bool:
    return entry.is_file() and has_suffix(entry, suffixes)


def _wanted(suffixes: tuple[str, ...]) -> str:
    return " or ".join(f"*{suffix}" for suffix in suffixes)
