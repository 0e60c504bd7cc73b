"""NIfTI files: headers, voxels, labels beside their image, and label maps on another's grid.

Voxels are stored (X, Y, Z[, T]), or with the slices along another axis; everything here is
([T,] Z, H, W), with spacings in mm in the same order (dz, dy, dx), see jaxnas.data.grid. Axes are
only exchanged, so a label map that is written lies on the voxels it was computed from. Labels may
be stored in other directions than their image, as their affine says; another grid is refused.
"""

import gzip
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.files import write_atomic
from jaxnas.data.files import NIFTI, has_suffix
from jaxnas.data.grid import Turn, VoxelGrid, make_grid, mm, turn_onto
from jaxnas.data.transforms import LARGEST

MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}  # in the header's unit of length; mm if it has none
_LENGTH_BITS = 0b111  # the bits of xyzt_units that mean length
VECTORS = range(1004, 1010)  # intents of files with several numbers per voxel: tensors and the like
# nibabel prints every repair of a header, file by file; what matters of them we say ourselves.
logging.getLogger("nibabel.global").setLevel(logging.ERROR)
WHOLE = 1e-3  # how far from a whole number a label may be


@contextmanager
def opened(path: str | Path) -> Iterator:
    """The nibabel image of a file; whatever goes wrong while reading raises UserError."""
    import nibabel  # takes a while to import, and other formats do without
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        yield nibabel.load(path)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a NIfTI file, check the path") from None
    except (
        OSError,
        ValueError,
        IndexError,
        EOFError,
        zlib.error,
        ImageFileError,
        HeaderDataError,
    ) as error:
        first = str(error).partition("\n")[0]
        raise UserError(
            f"{path}: cannot be read ({first}); expected a complete NIfTI file, copy or write it "
            "again"
        ) from None


def read_grid(path: str | Path) -> VoxelGrid:
    """The grid of a file, from its header alone, in mm whatever the unit of the header.

    The affine (nibabel's best: sform, else qform, else the voxel size) says how large voxels are.
    UserError for a file that cannot be read, for vectors, more than four axes, empty ones, voxels
    without a size, and what is no real number.
    """
    grid, dtype = _read_header(path)
    if dtype.kind not in "fiu":
        raise UserError(
            f"{path}: holds {dtype} voxels; expected real numbers, convert it to a scalar image"
        )
    return grid


def axis_letters(path: str | Path) -> str:
    """The letters of a file's three axes, in its order: W, H and S, `WHS` where slices are last."""
    grid, _ = _read_header(path)
    return "".join(letter for _, letter in sorted(zip(grid.axes, "WHS")))


def read_voxels(path: str | Path, grid: VoxelGrid, *, frame: int | None = None) -> np.ndarray:
    """The voxels of a file, scaled where its header says so, ([T,] Z, H, W); `grid` is the file's.

    With `frame`, counted from 0, the volume (Z, H, W) at that moment of a cine. UserError for
    damaged files, NaN, infinity, and numbers beyond float32.
    """
    with opened(path) as image:
        stored = image.dataobj
        if frame is not None:
            moment = [slice(None)] * len(image.shape)
            moment[grid.axes[3]] = slice(frame, frame + 1)
            stored = stored[tuple(moment)]
        voxels = np.asanyarray(stored)
    # NaN is not below anything.
    if voxels.dtype.kind == "f" and not max(-voxels.min(), voxels.max()) <= LARGEST:
        raise UserError(
            f"{path}: has NaN or infinity, or numbers beyond float32; expected finite voxels up to "
            f"{LARGEST:g}, repair or leave out this file"
        )
    voxels = grid.load(voxels.reshape(voxels.shape + (1,) * (3 - voxels.ndim)))
    return voxels if frame is None else voxels[0]


def write_labels(path: str | Path, labels: np.ndarray, *, like: str | Path) -> Path:
    """Writes labels ([T,] Z, H, W) as uint8 NIfTI with the shape, affine and header of `like`.

    Axes, directions, spacing, units, and the time step of a cine are those of `like`; the intensity
    window and scaling, which belong to its image, are not. Atomic; returns `path`. UserError for a
    name that does not end with .nii or .nii.gz; ValueError for labels of another ([T,] Z, H, W).
    """
    from nibabel import Nifti1Image, Nifti2Header, Nifti2Image

    path, labels = Path(path), np.asarray(labels)
    grid = read_grid(like)
    if labels.shape != grid.shape:
        raise ValueError(
            f"expected labels on the grid {grid.shape} of {like}, found {labels.shape}"
        )
    with opened(like) as source:
        header, affine, shape = source.header.copy(), source.affine, source.shape
    header.set_data_dtype(np.uint8)
    header["cal_min"] = header["cal_max"] = 0
    kind = Nifti2Image if isinstance(header, Nifti2Header) else Nifti1Image
    stored = grid.store(labels.astype(np.uint8)).reshape(shape)
    return write_image(path, kind(stored, affine, header))


def spacing_remark(grids: Mapping[Path, VoxelGrid]) -> str | None:
    """One sentence about the files whose pixdim states another voxel size than their affine."""
    odd = [(path, grid, grid.claimed) for path, grid in grids.items() if grid.claimed is not None]
    if not odd:
        return None
    path, grid, claimed = odd[0]
    more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
    return (
        f"{path}{more}: the voxel size in pixdim, {mm(claimed)}, is not that of the affine, "
        f"{mm(grid.spacing)}, in {len(odd)} of {len(grids)} files; the affine is used"
    )


def write_image(path: str | Path, image) -> Path:
    """Writes a nibabel NIfTI image atomically, compressed where the name ends with .gz."""
    path = Path(path)
    if not has_suffix(path, NIFTI):
        raise UserError(
            f"{path}: is no NIfTI name; expected one that ends with .nii or .nii.gz, rename it"
        )
    content = image.to_bytes()
    # A fixed time of compression: equal voxels make equal files.
    packed = gzip.compress(content, 6, mtime=0) if has_suffix(path, (".gz",)) else content
    return write_atomic(path, packed)


class Place(NamedTuple):
    """A volume in a file: all of it, or frame `frame` (from 0) of a four-dimensional one."""

    path: Path
    grid: VoxelGrid
    frame: int | None = None

    def read(self) -> np.ndarray:
        """The voxels (Z, H, W)."""
        return read_voxels(self.path, self.grid, frame=self.frame)


def turn_to(image: Place, labels: Place) -> Turn:
    """The turn of the labels onto the grid of their image; UserError for another grid."""
    try:
        return turn_onto(image.grid, labels.grid)
    except ValueError as error:
        raise UserError(
            f"{labels.path}: {error}, compared with {image.path}; expected labels on the grid of "
            "their image, resample them to it or correct the header that is wrong"
        ) from None


def contiguous(voxels: np.ndarray) -> np.ndarray:
    """float32 slices in one piece each; a file has its voxels the other way round."""
    return np.ascontiguousarray(voxels, np.float32)


def read_labels(place: Place, turn: Turn, names: Sequence[str]) -> np.ndarray:
    """The labels uint8 (Z, H, W), turned; UserError for others than those of `names`."""
    voxels = turn(place.read())
    if voxels.dtype.kind == "f":
        whole = np.rint(voxels)
        _refuse(place, voxels[np.abs(voxels - whole) > WHOLE], names)
        voxels = whole
    _refuse(place, voxels[(voxels < 0) | (voxels >= len(names))], names)
    return np.ascontiguousarray(voxels, np.uint8)


def _read_header(path: str | Path) -> tuple[VoxelGrid, np.dtype]:
    from nibabel.nifti1 import Nifti1Header

    with opened(path) as image:
        header = image.header
        if not isinstance(header, Nifti1Header):
            found = type(header).__name__.removesuffix("Header")
            raise UserError(f"{path}: is a file of {found}; expected NIfTI, convert it")
        dtype, shape, affine = image.get_data_dtype(), image.shape, np.array(image.affine, float)
        pixdim = _stored_pixdim(image)
    unit = MILLIMETRES.get(int(header["xyzt_units"]) & _LENGTH_BITS, 1.0)
    affine[:3] *= unit
    placed = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    try:
        if int(header["intent_code"]) in VECTORS and len(shape) > 4:
            raise ValueError(f"has vectors as voxels, shape {shape}; convert it to a scalar image")
        return make_grid(shape, affine, placed=placed, pixdim=unit * pixdim), dtype
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def _stored_pixdim(image) -> np.ndarray:
    """The voxel size in the header as it is in the file: nibabel has made 1 of 0."""
    pixdim = image.header["pixdim"][1:4]
    if (pixdim == 1).any():
        holder = image.file_map.get("header", image.file_map["image"])
        with holder.get_prepare_fileobj("rb") as file:
            pixdim = type(image.header).from_fileobj(file, check=False)["pixdim"][1:4]
    return np.array(pixdim, np.float64)


def _refuse(place: Place, strange: np.ndarray, names: Sequence[str]) -> None:
    if strange.size:
        known = ", ".join(f"{i} {name}" for i, name in enumerate(names))
        raise UserError(
            f"{place.path}: has the label {strange.min()} ({strange.size} such voxels); expected "
            f"{known} only, correct the labels"
        )
