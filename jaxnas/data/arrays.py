"""Plain arrays: .npy, .npz, HDF5 or NIfTI files that hold k-space or images."""

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.array_files import array_header, array_names, array_place, read_array
from jaxnas.data.coils import expand_coils, smooth_phase, unit_maps
from jaxnas.data.files import ARRAYS, NIFTI, SINGLE, PathLike, find_files, has_suffix
from jaxnas.data.nifti import axis_letters
from jaxnas.data.sampling import examined
from jaxnas.data.source import Slice, SliceRef
from jaxnas.data.transforms import centered_fft2, centred, narrowed

DOMAINS = ("kspace", "image", "magnitude")
_AXES_OF = {2: "HW", 3: "SHW", 4: "SCHW"}
EVERY = "*"


class _Array(NamedTuple):
    """One array on disk: its volume, where it is, and the letters of its axes."""

    volume: str
    path: Path
    dataset: str
    axes: str
    shape: tuple[int, ...]

    def length(self, axis: str) -> int:
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1


class ArraySource:
    """Slices of plain array files, one volume per array.

    `domain` says what the numbers are: complex `kspace` (unitary, zero
    frequency at its `origin`, `center` or `corner`), complex `image`, or
    `magnitude` images, which get a smooth random phase that is fixed by the volume's name, since
    real images have a k-space of half the information. `axes` names the axes in order with the
    letters S (slice), C (coil), H and W; by default HW, SHW or SCHW.

    `dataset` is the name in .npz and HDF5 files, by default that of the domain; a volume has the
    name of its file. With `*` every array of a file is a volume, called `file:array`. `sens` names
    complex coil sensitivities (C, H, W) or (S, C, H, W) in the same file; they are normalised.

    NIfTI files hold x, y, z, which by default are W, H, S, in the order that the affine says (see
    jaxnas.data.grid). Their directions are those stored: the rows of a file in RAS order run from
    posterior to anterior, so axial heads look down.
    """

    def __init__(
        self,
        paths: PathLike,
        *,
        domain: str = "kspace",
        dataset: str | None = None,
        axes: str | None = None,
        sens: str | None = None,
        origin: str = "center",
    ):
        if domain not in DOMAINS:
            raise ValueError(f"expected a domain among {', '.join(DOMAINS)}, got {domain!r}")
        self.domain, self.origin = domain, origin
        kind = "f" if domain == "magnitude" else "c"
        self._arrays = [
            _open(volume, path, name, axes, kind)
            for path in find_files(paths, suffixes=ARRAYS)
            for volume, name in _volumes(path, dataset or domain, sens)
        ]
        self._sens = [None if sens is None else _open_sens(a, sens, domain) for a in self._arrays]
        self._places = [
            (v, i) for v, array in enumerate(self._arrays) for i in range(array.length("S"))
        ]
        self.slices = tuple(self._ref(v, i) for v, i in self._places)
        self.labels = {array.volume: {"subject": array.path.name} for array in self._arrays}

    def read(self, i: int) -> Slice:
        """The slice `slices[i]`; a single coil's map is part of its image.

        UserError for NaN, infinity and numbers beyond float32.
        """
        v, index = self._places[i]
        array, maps = self._arrays[v], self._sens[v]
        values = _read(array, index)
        sens = None if maps is None else _read_maps(maps, index)
        if self.domain == "kspace":
            values = centred(values, self.origin)
        if self.domain == "magnitude":
            seed = zlib.crc32(array.volume.encode())
            values = values * smooth_phase(values.shape[-2:], seed=seed)
        if self.domain != "kspace":
            values = centered_fft2(values) if sens is None else expand_coils(values, sens)
        if self.slices[i].coils == 1:
            values, sens = values.reshape(values.shape[-2:]), None
        item = Slice(values, sens, None, array.volume, index)
        if self.domain != "kspace":  # the transform of an image is whole, also where it is zero
            return item
        return examined(item, where=array_place(array.path, array.dataset))

    def _ref(self, v: int, i: int) -> SliceRef:
        array, sens = self._arrays[v], self._sens[v]
        coils = array.length("C") if sens is None else sens.length("C")
        return SliceRef(array.volume, i, (array.length("H"), array.length("W")), coils)


def _volumes(path: Path, dataset: str, sens: str | None) -> list[tuple[str, str]]:
    """(volume, array) for what `dataset` names in a file."""
    if dataset != EVERY:
        return [(path.name, dataset)]
    names = [name for name in array_names(path) if name != sens]
    return [(f"{path.name}:{name}" if name else path.name, name) for name in names]


def _open(volume: str, path: Path, dataset: str, axes: str | None, kind: str) -> _Array:
    """Shape, dtype and axes of an array, checked; no numbers are read from .npy and HDF5."""
    shape, dtype = array_header(path, dataset)
    where = array_place(path, dataset)
    if (dtype.kind == "c") != (kind == "c") or dtype.kind not in "cfiu":
        wanted, other = ("complex", "'magnitude'"), ("real", "'image' or 'kspace'")
        (numbers, domain) = wanted if kind == "c" else other
        raise UserError(f"{where} is {dtype}; expected {numbers} numbers, or the domain {domain}")
    known = _AXES_OF
    if has_suffix(path, NIFTI):
        known = {2: "WH", 3: axis_letters(path) if len(shape) == 3 and not axes else "WHS"}
    letters = axes or known.get(len(shape), "")
    if len(letters) != len(shape) or len(set(letters)) < len(letters):
        raise UserError(
            f"{where} has {len(shape)} axes {shape}; expected {axes or _listed(known)}, "
            "name the axes of the array"
        )
    if not {"H", "W"} <= set(letters) <= set("SCHW"):
        raise UserError(f"{where}: axes {axes!r}; expected letters of SCHW with both H and W")
    if 0 in shape:
        raise UserError(f"{where} has shape {shape}; expected at least one slice, leave it out")
    return _Array(volume, path, dataset, letters, shape)


def _listed(axes: dict[int, str]) -> str:
    """`HW, SHW or SCHW`."""
    *first, last = axes.values()
    return f"{', '.join(first)} or {last}"


def _open_sens(array: _Array, dataset: str, domain: str) -> _Array:
    """Coil maps that fit `array`."""
    if has_suffix(array.path, SINGLE):
        raise UserError(
            f"{array.path}: holds one array, so there are no maps {dataset!r}; expected an .npz or "
            "HDF5 file with both, write one or drop the name of the maps"
        )
    shape, dtype = array_header(array.path, dataset)
    axes = {3: "CHW", 4: "SCHW"}.get(len(shape), "")
    sens = _Array(array.volume, array.path, dataset, axes, shape)
    # One image serves all coils, one k-space does not.
    coils = (sens.length("C"),) if domain == "kspace" else (1, sens.length("C"))
    fits = array.length("C") in coils
    same = axes and all(array.length(a) == sens.length(a) for a in "HW" + axes.strip("CHW"))
    if not (fits and same and dtype.kind == "c"):
        raise UserError(
            f"{array_place(array.path, dataset)} has shape {shape} and type {dtype}; expected "
            f"complex (C, H, W) or (S, C, H, W) that fits {array.dataset!r} {array.shape} "
            f"({array.axes}), correct the maps or the axes"
        )
    return sens


def _read_maps(maps: _Array, index: int) -> np.ndarray:
    """The maps of a slice, several of them normalised; a single one is part of its image."""
    sens = _read(maps, index)
    if len(sens) == 1:
        return sens
    return unit_maps(sens, where=f"{maps.path.parent}: {maps.dataset!r}")


def _read(array: _Array, index: int) -> np.ndarray:
    """One slice in the order ([C,] H, W)."""
    selection = tuple(index if axis == "S" else slice(None) for axis in array.axes)
    values = read_array(array.path, array.dataset, selection)
    left = array.axes.replace("S", "")
    values = values.transpose([left.index(axis) for axis in "CHW" if axis in left])
    return narrowed(values, where=array_place(array.path, array.dataset), index=index)
