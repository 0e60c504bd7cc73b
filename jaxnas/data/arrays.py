"""Plain arrays: .npy, .npz or .h5 with a named dataset, holding k-space or images."""

import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data import hdf5
from jaxnas.data.coils import expand, smooth_phase
from jaxnas.data.files import ARRAYS, HDF5, Paths, find_files
from jaxnas.data.source import Slice, SliceRef
from jaxnas.data.transforms import fft2c

DOMAINS = ("kspace", "image", "magnitude")
AXES = {2: "HW", 3: "SHW", 4: "SCHW"}


class _Array(NamedTuple):
    """One array on disk: where it is, and the letters of its axes."""

    path: Path
    dataset: str
    axes: str
    shape: tuple[int, ...]

    def length(self, axis: str) -> int:
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1


class ArraySource:
    """Slices of plain array files, one volume per file.

    `domain` says what the numbers are: complex `kspace` (centred, unitary), complex `image`, or
    `magnitude` images, which get a smooth random phase that is fixed by the file name, since
    real images have a k-space of half the information. `axes` names the axes in order with the
    letters S (slice), C (coil), H and W; by default HW, SHW or SCHW. `dataset` is the name in
    .npz and .h5 files, by default that of the domain. `sens` names complex coil sensitivities
    (C, H, W) or (S, C, H, W) in the same file.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        domain: str = "kspace",
        dataset: str | None = None,
        axes: str | None = None,
        sens: str | None = None,
    ):
        if domain not in DOMAINS:
            raise ValueError(f"expected a domain among {', '.join(DOMAINS)}, got {domain!r}")
        self.domain = domain
        files = find_files(paths, suffixes=ARRAYS)
        kind = "f" if domain == "magnitude" else "c"
        self._arrays = [_open(f, dataset or domain, axes, kind) for f in files]
        self._sens = [None if sens is None else _open_sens(a, sens) for a in self._arrays]
        self._places = [
            (v, i) for v, array in enumerate(self._arrays) for i in range(array.length("S"))
        ]
        self.slices = tuple(self._ref(v, i) for v, i in self._places)

    def read(self, i: int) -> Slice:
        """The fully sampled slice `slices[i]`."""
        v, index = self._places[i]
        array = self._arrays[v]
        values = _read(array, index)
        sens = None if self._sens[v] is None else _read(self._sens[v], index)
        if self.domain == "magnitude":
            seed = zlib.crc32(array.path.name.encode())
            values = values * smooth_phase(values.shape[-2:], seed=seed)
        values = values.astype(np.complex64, copy=False)
        if self.domain != "kspace":
            values = fft2c(values) if sens is None else expand(values, sens)
        return Slice(_single(values), sens, None, array.path.name, index)

    def _ref(self, v: int, i: int) -> SliceRef:
        array, sens = self._arrays[v], self._sens[v]
        coils = array.length("C") if sens is None else sens.length("C")
        return SliceRef(array.path.name, i, (array.length("H"), array.length("W")), coils)


def _open(path: Path, dataset: str, axes: str | None, kind: str) -> _Array:
    """Shape, dtype and axes of an array, checked; no numbers are read from .npy and .h5."""
    shape, dtype = _header(path, dataset)
    where = _where(path, dataset)
    if (dtype.kind == "c") != (kind == "c") or dtype.kind not in "cfiu":
        wanted, other = ("complex", "'magnitude'"), ("real", "'image' or 'kspace'")
        (numbers, domain) = wanted if kind == "c" else other
        raise UserError(f"{where} is {dtype}; expected {numbers} numbers, or the domain {domain}")
    letters = axes or AXES.get(len(shape), "")
    if len(letters) != len(shape) or len(set(letters)) < len(letters):
        raise UserError(
            f"{where} has {len(shape)} axes {shape}; expected {axes or 'HW, SHW or SCHW'}, "
            "name the axes of the array"
        )
    if not {"H", "W"} <= set(letters) <= set("SCHW"):
        raise UserError(f"{where}: axes {axes!r}; expected letters of SCHW with both H and W")
    if 0 in shape:
        raise UserError(f"{where} has shape {shape}; expected at least one slice, leave it out")
    return _Array(path, dataset, letters, shape)


def _open_sens(array: _Array, dataset: str) -> _Array:
    """Coil maps that fit `array`."""
    shape, dtype = _header(array.path, dataset)
    axes = {3: "CHW", 4: "SCHW"}.get(len(shape), "")
    sens = _Array(array.path, dataset, axes, shape)
    fits = all(array.length(a) in (1, sens.length(a)) for a in "C" if axes)
    same = axes and all(array.length(a) == sens.length(a) for a in "HW" + axes.strip("CHW"))
    if not (fits and same and dtype.kind == "c"):
        raise UserError(
            f"{_where(array.path, dataset)} has shape {shape} and type {dtype}; expected complex "
            f"(C, H, W) or (S, C, H, W) that fits {array.dataset!r} {array.shape} ({array.axes}), "
            "correct the maps or the axes"
        )
    return sens


def _read(array: _Array, index: int) -> np.ndarray:
    """One slice in the order ([C,] H, W)."""
    selection = tuple(index if axis == "S" else slice(None) for axis in array.axes)
    values = _take(array.path, array.dataset, selection)
    left = array.axes.replace("S", "")
    values = values.transpose([left.index(axis) for axis in "CHW" if axis in left])
    if not np.isfinite(values).all():
        raise UserError(
            f"{_where(array.path, array.dataset)} has NaN or infinity in slice {index}; "
            "expected finite numbers, repair or leave out this file"
        )
    return values


def _single(values: np.ndarray) -> np.ndarray:
    """Drops the coil axis of a single coil."""
    return values[0] if values.ndim == 3 and len(values) == 1 else values


def _where(path: Path, dataset: str) -> str:
    return f"{path}: the array" if path.suffix == ".npy" else f"{path}: dataset {dataset!r}"


def _header(path: Path, dataset: str) -> tuple[tuple[int, ...], np.dtype]:
    if path.suffix in HDF5:
        with hdf5.open_file(path) as file:
            found = hdf5.get_dataset(file, dataset)
            return found.shape, found.dtype
    array = _load(path, dataset)
    return array.shape, array.dtype


def _take(path: Path, dataset: str, selection: tuple) -> np.ndarray:
    if path.suffix in HDF5:
        return hdf5.read_dataset(path, dataset, selection)
    return np.asarray(_load(path, dataset)[selection])


def _load(path: Path, dataset: str) -> np.ndarray:
    """A memory map of a .npy file; an array of a .npz file, decoded as a whole and remembered."""
    try:
        if path.suffix == ".npz":
            return _load_npz(path, dataset, path.stat().st_mtime_ns)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, UserError):
            raise
        first = str(error).partition("\n")[0]
        raise UserError(
            f"{path}: cannot be read ({first}); expected a complete .npy or .npz file of numbers, "
            "copy or write it again"
        ) from None


@lru_cache(maxsize=4)
def _load_npz(path: Path, dataset: str, modified: int) -> np.ndarray:
    del modified  # part of the key only
    with np.load(path, allow_pickle=False) as archive:
        if dataset not in archive:
            raise UserError(
                f"{path}: no dataset {dataset!r} (the file has: {', '.join(archive)}); "
                f"expected {dataset!r}, name one of those"
            )
        return archive[dataset]
