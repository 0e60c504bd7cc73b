"""Calgary-Campinas (CC359) raw data: single-channel .npy volumes and 12-channel HDF5 volumes.

In both the readout is transformed already, so that every slice is a k-space of its own, and
numpy's plain inverse transform, without any shift, shows the head in the middle. What differs:

- .npy, single-channel: (S, H, W, 2), real and imaginary part. Zero frequency is at [0, 0], and
  the authors divide by √(H W), which is 256, before they transform.
- HDF5, dataset `kspace`, multi-channel: (S, H, W, 2 C) along x, ky, kz, with real and imaginary
  parts by turns. Zero frequency is in the centre. Only the first 85 % of kz were measured;
  whatever a file holds beyond is no measurement.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.array_files import array_header, array_place, read_array
from jaxnas.data.files import HDF5, PathLike, find_files, has_suffix
from jaxnas.data.sampling import examined
from jaxnas.data.source import Slice, SliceRef
from jaxnas.data.transforms import move_origin, narrowed

CC359 = (".npy", *HDF5)
EDGE = 50  # slices at either end that the challenge leaves out
DATASET = "kspace"


class _Volume(NamedTuple):
    """One file; `encoded` columns were measured."""

    path: Path
    slices: int
    shape: tuple[int, int]
    coils: int
    encoded: int
    decode: Callable[[np.ndarray, int], np.ndarray]


class CC359Source:
    """The slices of all CC359 files in `paths`; both kinds may be mixed.

    Images have the magnitude that the authors compute. The columns of k-space are kz; those that
    were never measured are zeros that no mask samples. Of a
    multi-channel volume the first and the last `edge` slices are left out, as in the challenge,
    which evaluates slices 50 to -50 of 256; a volume of no more than 2 `edge` slices is used whole,
    and so is every single-channel one. A volume has the name of its file, a slice its number there.
    """

    def __init__(self, paths: PathLike, *, edge: int = EDGE):
        self._volumes = [_open(path) for path in find_files(paths, suffixes=CC359)]
        self._places = [(v, i) for v in self._volumes for i in _used(v, edge)]
        self.slices = tuple(SliceRef(v.path.name, i, v.shape, v.coils) for v, i in self._places)
        self.labels = {v.path.name: {"subject": v.path.name} for v in self._volumes}

    def read(self, i: int) -> Slice:
        """The slice `slices[i]`, without coil maps; with a mask in the challenge's test sets."""
        volume, index = self._places[i]
        kspace = volume.decode(_read(volume, index), volume.encoded)
        encoded = np.arange(volume.shape[1]) < volume.encoded
        item = Slice(
            kspace=kspace[0] if volume.coils == 1 else kspace,
            sens=None,
            mask=None,
            volume=volume.path.name,
            index=index,
            encoded=None if encoded.all() else encoded,
        )
        return examined(item, where=array_place(volume.path, DATASET))


def encoded_columns(width: int) -> int:
    """⌈0.85 W⌉: how many of W columns of a multi-channel volume were measured."""
    return -(-85 * width // 100)


def _open(path: Path) -> _Volume:
    """Shape and dtype of a file, checked; no numbers are read."""
    shape, dtype = array_header(path, DATASET)
    single = has_suffix(path, (".npy",))
    where = array_place(path, DATASET)
    wanted = "(slices, H, W, 2)" if single else "(x, ky, kz, 2 · coils)"
    if len(shape) != 4 or 0 in shape:
        raise UserError(f"{where} has shape {shape}; expected {wanted}, rewrite it")
    slices, height, width, parts = shape
    if parts != 2 if single else parts % 2:
        raise UserError(
            f"{where} has shape {shape}, {parts} along the last axis; expected {wanted}, the real "
            "and imaginary part of every coil, rewrite it"
        )
    if dtype.kind not in "fiu":
        raise UserError(
            f"{where} is {dtype}; expected real numbers, real and imaginary parts along the last "
            "axis, rewrite it or use the reader for arrays"
        )
    decode = _decode_single if single else _decode_multi
    encoded = width if single else encoded_columns(width)
    return _Volume(path, slices, (height, width), parts // 2, encoded, decode)


def _used(volume: _Volume, edge: int) -> range:
    whole = volume.decode is _decode_single or volume.slices <= 2 * edge
    return range(volume.slices) if whole else range(edge, volume.slices - edge)


def _read(volume: _Volume, index: int) -> np.ndarray:
    """Slice `index` as it is stored, (H, W, 2 C)."""
    parts = read_array(volume.path, DATASET, (index,))
    return narrowed(parts, where=array_place(volume.path, DATASET), index=index)


def _decode_single(parts: np.ndarray, encoded: int) -> np.ndarray:
    """Centred k-space (1, H, W) of a slice whose image is ifft2(k / √(H W))."""
    del encoded  # everything was measured
    kspace = np.fft.fftshift(_complex(parts), (-2, -1))
    return move_origin(kspace) / np.float32(kspace.size)


def _decode_multi(parts: np.ndarray, encoded: int) -> np.ndarray:
    """Centred k-space (C, H, W) of a slice whose coil images are ifft2(k), up to a phase."""
    kspace = _complex(parts)
    measured = np.arange(kspace.shape[-1]) < encoded
    kspace = np.where(measured, kspace, np.complex64(0))
    return move_origin(kspace) / np.sqrt(np.float32(kspace[0].size))


def _complex(parts: np.ndarray) -> np.ndarray:
    """(H, W, 2 C) of real numbers as complex64 (C, H, W)."""
    values = (parts[..., ::2] + 1j * parts[..., 1::2]).astype(np.complex64)
    return np.ascontiguousarray(np.moveaxis(values, -1, 0))
