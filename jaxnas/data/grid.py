"""The place of a file's voxels: which of its axes are x, y, z, in mm, and on which other grid.

Everything follows from the affine of the file and its unit of length. Short-axis stacks are
worked on slice by slice, so the first question is across which axis the slices lie:

- across the only axis of length 1, if there is one (a single slice);
- else across the axis whose voxels are clearly the longest (THICK times the next);
- else, as in isotropic volumes, across the last one.

The other two axes keep their order in the file, unless they clearly (within CLEAR of the scanner's
axes) lie the other way round than scanners store them: x before y before z. Their directions are
kept as well. An oblique slice has no direction that is right for every heart, and the affine of
training data is often lost; the way scanners store slices is what images have in common.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

THICK = 1.2  # times as long as the next
CLEAR = np.cos(np.deg2rad(30))  # of the angle to an axis of the scanner
_SAME = 1e-3  # of a voxel
CLAIM = 0.01  # relative difference of a voxel size that is worth a word


class VoxelGrid(NamedTuple):
    """The voxels of a file as we hold them, ([T,] Z, H, W).

    Attributes:
      shape: ([T,] Z, H, W).
      spacing: (dz, dy, dx) in mm.
      affine: from voxel (x, y, z) = (column, row, slice) to scanner mm, float64 (4, 4).
      axes: which axes of the file are x, y, z and, of a cine, t; all others have length 1.
      stored: the shape in the file, with at least three axes.
      placed: whether the file says where it lies; else its affine is made up of its voxel size.
      claimed: another voxel size (dz, dy, dx) in mm that the header states too, None if it agrees.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, float, float]
    affine: np.ndarray
    axes: tuple[int, ...]
    stored: tuple[int, ...]
    placed: bool = True
    claimed: tuple[float, float, float] | None = None

    def load(self, stored: np.ndarray) -> np.ndarray:
        """Voxels as stored, of all moments or of one, as ([T,] Z, H, W); a view."""
        order = self._order()
        moved = stored.transpose(order)
        return moved.reshape(moved.shape[: len(self.axes)])

    def store(self, voxels: np.ndarray) -> np.ndarray:
        """The opposite of `load`, for voxels of this grid's shape."""
        order = self._order()
        moved = voxels.reshape([self.stored[axis] for axis in order])
        return moved.transpose(np.argsort(order))

    def _order(self) -> list[int]:
        """The file's axes in our order, those of length 1 that mean nothing last."""
        unused = [axis for axis in range(len(self.stored)) if axis not in self.axes]
        return [*reversed(self.axes), *unused]


class Turn(NamedTuple):
    """Axes exchanged and turned round, without interpolation: (Z, H, W) to another (Z, H, W)."""

    order: tuple[int, int, int]
    flip: tuple[int, ...] = ()

    def __call__(self, voxels: np.ndarray) -> np.ndarray:
        return np.flip(voxels.transpose(self.order), self.flip)


def make_grid(
    stored: Sequence[int], affine: np.ndarray, *, placed: bool, pixdim: Sequence[float] | np.ndarray
) -> VoxelGrid:
    """The grid of an array of shape `stored`, (X, Y, Z[, T]) in some order and with unit axes.

    `affine` (4, 4) and `pixdim` (3,) are those of the file, in mm. ValueError for more than four
    axes that are longer than 1, for empty ones, and for voxels without a size.
    """
    stored = tuple(int(n) for n in (*stored, 1, 1, 1)[: max(3, len(stored))])
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    used = _used_axes(stored, sizes)
    if len(used) > 4 or 0 in stored:
        raise ValueError(
            f"has shape {stored}; expected (X, Y, Z) or (X, Y, Z, T), none of them empty, convert "
            "it"
        )
    if not (np.isfinite(affine).all() and (sizes > 0).all()):
        raise ValueError(
            f"has a voxel spacing of {tuple(sizes.tolist())} mm; expected three positive numbers, "
            "correct the header"
        )
    order = _xyz([stored[axis] for axis in used[:3]], affine[:3, :3] / sizes, sizes)
    axes = (*(used[k] for k in order), *used[3:])
    shape = tuple(stored[axis] for axis in reversed(axes))
    claimed = _claimed(pixdim, sizes, [stored[axis] for axis in used[:3]]) if placed else None
    return VoxelGrid(
        shape,
        _spacing(sizes[order]),
        affine[:, [*order, 3]],
        axes,
        stored,
        placed,
        None if claimed is None else _spacing(claimed[order]),
    )


def turn_onto(image: VoxelGrid, other: VoxelGrid) -> Turn:
    """The turn of volumes (Z, H, W) of `other` onto the grid of `image`, voxel for voxel.

    Where one of the two does not say where it lies, both are taken as stored alike. ValueError
    says what differs: the spacing, the directions, the shape, or the place; (T) does not matter.
    """
    turn = _turn(image, other) if image.placed and other.placed else _turn_as_stored(image, other)
    shape = tuple(other.shape[-3:][axis] for axis in turn.order)
    if shape != image.shape[-3:]:
        raise ValueError(
            f"has shape {other.shape[-3:]} for an image of shape {image.shape[-3:]} (slices, rows, "
            "columns)"
        )
    if image.placed and other.placed:
        far = float(np.linalg.norm(_centre(image) - _centre(other)))
        if far > _SAME * min(image.spacing):
            raise ValueError(f"lies {far:.4g} mm away")
    return turn


def mm(spacing: Sequence[float]) -> str:
    """`10×1.5×1.5 mm`."""
    return "×".join(f"{step:.6g}" for step in spacing) + " mm"


def _used_axes(stored: tuple[int, ...], sizes: np.ndarray) -> list[int]:
    """The axes that are space, three of them, and time: not those that an array library added.

    Behind the third, axes of length 1 mean nothing. In front of three others an axis of length 1
    is one of channels or batches, unless its voxels are the thick ones: a cine of one slice.
    """
    used = [axis for axis, n in enumerate(stored) if axis < 3 or n > 1]
    while len(used) > 3 and stored[used[0]] == 1 and _thick(sizes) != 0:
        used = used[1:]
    return used


def _xyz(shape: list[int], directions: np.ndarray, sizes: np.ndarray) -> list[int]:
    """The indices of x, y and z among three axes; see above."""
    thick = _thick(sizes)
    slices = shape.index(1) if shape.count(1) == 1 else 2 if thick is None else thick
    x, y = (axis for axis in range(3) if axis != slices)
    along, certain = np.abs(directions).argmax(0), np.abs(directions).max(0)
    if along[x] > along[y] and min(certain[x], certain[y]) >= CLEAR:
        x, y = y, x
    return [x, y, slices]


def _thick(sizes: np.ndarray) -> int | None:
    """The axis whose voxels are clearly the longest, None if there is none."""
    *_, second, first = np.argsort(sizes)
    return int(first) if sizes[first] > THICK * sizes[second] else None


def _claimed(
    pixdim: Sequence[float] | np.ndarray, sizes: np.ndarray, shape: list[int]
) -> np.ndarray | None:
    """The voxel size in `pixdim` where it is one and is not `sizes`, else None."""
    found = np.abs(np.asarray(pixdim, np.float64))
    found = np.where(np.isfinite(found) & (found > 0), found, sizes)
    differs = (np.array(shape) > 1) & (np.abs(found / sizes - 1) > CLAIM)
    return found if differs.any() else None


def _spacing(sizes: np.ndarray) -> tuple[float, float, float]:
    """(dz, dy, dx) of (dx, dy, dz), in the single precision that headers have."""
    dx, dy, dz = (float(np.float32(step)) for step in sizes)
    return dz, dy, dx


def _turn(image: VoxelGrid, other: VoxelGrid) -> Turn:
    """The exchange of axes that leads from one affine to the other, wherever they lie."""
    between = np.linalg.solve(other.affine[:3, :3], image.affine[:3, :3])
    whole = np.rint(between)
    exact = np.abs(between - whole).max() <= _SAME
    if not (exact and (np.abs(whole).sum(0) == 1).all() and (np.abs(whole).sum(1) == 1).all()):
        raise ValueError(_how_turned(image, other))
    # Columns are the image's x, y, z; rows are those of the other file. Arrays are z, y, x.
    source, sign = np.abs(whole).argmax(0), whole.sum(0)
    z, y, x = (int(2 - source[2 - axis]) for axis in range(3))
    return Turn((z, y, x), tuple(axis for axis in range(3) if sign[2 - axis] < 0))


def _turn_as_stored(image: VoxelGrid, other: VoxelGrid) -> Turn:
    stated = [grid.placed or set(grid.spacing) != {1.0} for grid in (image, other)]
    z, y, x = order = [2 - other.axes[:3].index(image.axes[2 - axis]) for axis in range(3)]
    spacing = np.array([other.spacing[axis] for axis in order])
    if all(stated) and not np.allclose(spacing, image.spacing, rtol=_SAME, atol=0):
        raise ValueError(_other_spacing(image, other))
    return Turn((z, y, x))


def _how_turned(image: VoxelGrid, other: VoxelGrid) -> str:
    if not np.allclose(sorted(other.spacing), sorted(image.spacing), rtol=_SAME, atol=0):
        return _other_spacing(image, other)
    cosines = np.abs(_directions(other).T @ _directions(image)).max(0)
    angle = float(np.rad2deg(np.arccos(min(cosines.min(), 1.0))))
    return f"has axes that lie up to {angle:.3g} degrees off"


def _other_spacing(image: VoxelGrid, other: VoxelGrid) -> str:
    return f"has voxels of {mm(other.spacing)} instead of {mm(image.spacing)}"


def _directions(grid: VoxelGrid) -> np.ndarray:
    return grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)


def _centre(grid: VoxelGrid) -> np.ndarray:
    """The centre of the volume in scanner mm, which no exchange of axes moves."""
    middle = [(n - 1) / 2 for n in reversed(grid.shape[-3:])]
    return grid.affine[:3, :3] @ middle + grid.affine[:3, 3]
