"""Arrays in files: names, shapes and slices of .npy, .npz, HDF5 and NIfTI alike.

A .npy or NIfTI file holds one array, so its name does not matter.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data import hdf5
from jaxnas.data.files import HDF5, NIFTI, SINGLE, has_suffix
from jaxnas.data.nifti import opened


def array_names(path: Path) -> tuple[str, ...]:
    """The arrays of a file in alphabetical order; ("",) where its format holds a single one."""
    if has_suffix(path, SINGLE):
        return ("",)
    if has_suffix(path, HDF5):
        with hdf5.open_file(path) as file:
            names = _dataset_names(file)
    else:
        with _explained(path), np.load(path, allow_pickle=False) as archive:
            names = list(archive)
    if not names:
        raise UserError(f"{path}: holds no array; expected at least one, leave this file out")
    return tuple(sorted(names))


def array_header(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of array `name`; where it is missing, UserError lists what there is."""
    if has_suffix(path, HDF5):
        with hdf5.open_file(path) as file:
            found = hdf5.get_dataset(file, name)
            return found.shape, found.dtype
    array = _load(path, name)
    return array.shape, array.dtype


def read_array(path: Path, name: str, selection: tuple) -> np.ndarray:
    """`selection` of array `name`, in memory."""
    if has_suffix(path, HDF5):
        return hdf5.read_dataset(path, name, selection)
    return np.asarray(_load(path, name)[selection])


def array_place(path: Path, name: str) -> str:
    """The words that name array `name` of a file in a message."""
    return f"{path}: the array" if has_suffix(path, SINGLE) else f"{path}: dataset {name!r}"


def _dataset_names(file: h5py.File) -> list[str]:
    names: list[str] = []

    def note(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset):
            names.append(name)

    file.visititems(note)
    return names


def _load(path: Path, name: str) -> np.ndarray:
    """A memory map of a .npy file; other arrays are decoded as a whole and remembered."""
    with _explained(path):
        if has_suffix(path, (".npy",)):
            return np.load(path, mmap_mode="r", allow_pickle=False)
        return _decode(path, name, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _decode(path: Path, name: str, modified: int) -> np.ndarray:
    del modified  # part of the key only
    if has_suffix(path, NIFTI):
        return _decode_nifti(path)
    with np.load(path, allow_pickle=False) as archive:
        if name not in archive:
            raise UserError(
                f"{path}: no dataset {name!r} (the file has: {', '.join(archive)}); "
                f"expected {name!r}, name one of those or '*' for all"
            )
        return archive[name]


def _decode_nifti(path: Path) -> np.ndarray:
    """The voxels (x, y, z, ...), scaled where the header says so, without trailing unit axes."""
    with opened(path) as image:
        voxels = np.asanyarray(image.dataobj)
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    return voxels


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns whatever a decoder says about a file into UserError."""
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        first = str(error).partition("\n")[0]
        raise UserError(
            f"{path}: cannot be read ({first}); expected a complete .npy, .npz or NIfTI file of "
            "numbers, copy or write it again"
        ) from None
