"""An image and its labels in NIfTI files: compared by their headers, then read voxel for voxel.

Labels may be stored in other directions than their image, as their affine says; another grid is
refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.grid import Turn, VoxelGrid, turn_onto
from jaxnas.data.nifti import read_voxels

WHOLE = 1e-3  # how far from a whole number a label may be


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


def _refuse(place: Place, strange: np.ndarray, names: Sequence[str]) -> None:
    if strange.size:
        known = ", ".join(f"{i} {name}" for i, name in enumerate(names))
        raise UserError(
            f"{place.path}: has the label {strange.min()} ({strange.size} such voxels); expected "
            f"{known} only, correct the labels"
        )
