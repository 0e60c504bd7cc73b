"""From what the user names, a folder, a file or several of them, to a sorted list of files."""

from collections.abc import Sequence
from pathlib import Path

from jaxnas.core.errors import UserError

HDF5 = (".h5", ".hdf5")
NIFTI = (".nii", ".nii.gz")
SINGLE = (".npy", *NIFTI)  # formats of one array
ARRAYS = (*SINGLE, ".npz", *HDF5)

Paths = str | Path | Sequence[str | Path]


def find_files(paths: Paths, *, suffixes: tuple[str, ...] = HDF5) -> tuple[Path, ...]:
    """The named files, and for each folder its files with one of `suffixes`, sorted by name.

    Hidden files are left out. A missing path, a folder without such files and two files of the
    same name (names seed masks and identify volumes) raise UserError.
    """
    files = [f for path in listed(paths) for f in _expand(Path(path), suffixes)]
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


def listed(paths: Paths) -> Sequence[str | Path]:
    """`paths` as a sequence, also where it is a single path."""
    return [paths] if isinstance(paths, str | Path) else paths


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether the name of `path` ends with one of `suffixes`, whatever their case."""
    return path.name.lower().endswith(suffixes)


def _expand(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder; expected data there, check the path")
    entries = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    files = [p for p in entries if p.is_file() and has_suffix(p, suffixes)]
    if not files:
        wanted = " or ".join(f"*{suffix}" for suffix in suffixes)
        raise UserError(
            f"{path}: no {wanted} file among the {len(entries)} entries of this folder; "
            "expected at least one, name the folder that holds the volumes"
        )
    return files
