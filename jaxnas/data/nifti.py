"""NIfTI files: headers, voxels, and label maps written on the grid of another file.

Voxels are stored (X, Y, Z[, T]); everything here has the axes reversed, ([T,] Z, H, W) with H = Y
and W = X, and spacings in mm in the same order (dz, dy, dx). Reversing is exact, so a label map
that is written lies on the voxels it was computed from, whatever the affine says about directions.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.files import write_atomic
from jaxnas.data.files import NIFTI, has_suffix


class Grid(NamedTuple):
    """Where the voxels of a file are: `shape` ([T,] Z, H, W), `spacing` (dz, dy, dx), `affine`.

    `affine` float64 (4, 4) maps voxel (x, y, z) to scanner mm.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, float, float]
    affine: np.ndarray


@contextmanager
def opened(path: str | Path) -> Iterator:
    """The nibabel image of a file; whatever goes wrong while reading raises UserError."""
    import nibabel  # takes a while to import, and other formats do without
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        yield nibabel.load(path)
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


def read_grid(path: str | Path) -> Grid:
    """The grid of a file with three or four axes, from its header alone.

    A single slice without a third axis has Z = 1; a fourth axis of length 1 does not count.
    UserError for a file that cannot be read, for other numbers of axes, empty ones, and voxels
    without a size.
    """
    with opened(path) as image:
        shape = _spatial(image.shape)
        zooms = [*image.header.get_zooms()[:3], 1.0, 1.0][:3]
        affine = np.array(image.affine, np.float64)
    if len(shape) > 4 or 0 in shape:
        raise UserError(
            f"{path}: has shape {tuple(shape)}; expected (X, Y, Z) or (X, Y, Z, T), none of them "
            "empty, convert it"
        )
    spacing = tuple(float(z) for z in reversed(zooms))
    if not all(np.isfinite(z) and z > 0 for z in spacing):
        raise UserError(
            f"{path}: has a voxel spacing of {spacing} mm; expected three positive numbers, "
            "correct the header"
        )
    return Grid(tuple(int(n) for n in reversed(shape)), spacing, affine)


def read_voxels(path: str | Path, *, frame: int | None = None) -> np.ndarray:
    """The voxels of a file, scaled where its header says so, ([T,] Z, H, W).

    With `frame`, counted from 0, the volume (Z, H, W) at that moment of a four-dimensional file.
    Complex, structured and damaged files raise UserError, as do NaN and infinity.
    """
    with opened(path) as image:
        stored = image.dataobj
        voxels = np.asanyarray(stored if frame is None else stored[..., frame])
    if voxels.dtype.kind not in "fiu":
        raise UserError(
            f"{path}: holds {voxels.dtype} voxels; expected real numbers, convert it to a scalar "
            "image"
        )
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise UserError(
            f"{path}: has NaN or infinity; expected finite voxels, repair or leave out this file"
        )
    return voxels.reshape(_spatial(voxels.shape)).T


def write_labels(path: str | Path, labels: np.ndarray, *, like: str | Path) -> Path:
    """Writes labels ([T,] Z, H, W) as uint8 NIfTI with the affine and header of the file `like`.

    Directions, spacing, units, and the time step of a cine are those of `like`; the intensity
    window and scaling, which belong to its image, are not. Atomic; returns `path`. UserError for a
    name that does not end with .nii or .nii.gz; ValueError for labels of another (Z, H, W).
    """
    import nibabel

    path, labels = Path(path), np.asarray(labels)
    grid = read_grid(like)
    if labels.shape[-3:] != grid.shape[-3:] or labels.ndim > 4:
        raise ValueError(
            f"expected labels on the grid {grid.shape[-3:]} of {like}, found {labels.shape}"
        )
    with opened(like) as source:
        header, affine = source.header.copy(), source.affine
    header.set_data_dtype(np.uint8)
    header["cal_min"] = header["cal_max"] = 0
    image = nibabel.Nifti1Image(labels.astype(np.uint8).T, affine, header)
    return write_image(path, image)


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


def _spatial(shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with at least three axes and without unit axes behind them."""
    shape = (*shape, 1, 1)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
