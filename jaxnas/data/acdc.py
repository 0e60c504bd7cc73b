"""The ACDC cardiac cine data set (Bernard et al., TMI 2018), and data laid out like it.

A folder per patient, `patientNNN/`, with `Info.cfg` (lines `ED: 1`, `ES: 12`, `Group: DCM`: frames
counted from 1), images `patientNNN_frameTT.nii.gz`, labels `patientNNN_frameTT_gt.nii.gz` and the
cine `patientNNN_4d.nii.gz`. Where every frame is labelled (extended ACDC) there are `_gt` files
for more frames than ED and ES, or one `patientNNN_4d_gt.nii.gz`. Labels may be stored in other
directions than their image, as their affine says; another grid is refused.
"""

import re
from pathlib import Path
from typing import NamedTuple

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import (
    ED,
    ES,
    HEART_CAVITIES,
    HEART_LABELS,
    LabeledRef,
    LabeledVolume,
    Phases,
)
from jaxnas.data.files import NIFTI, PathLike, visible
from jaxnas.data.grid import Turn, VoxelGrid
from jaxnas.data.nifti import (
    Place,
    contiguous,
    read_grid,
    read_labels,
    spacing_remark,
    turn_to,
)
from jaxnas.data.patients import INFO, find_patients, frame_number, left_out_remarks, read_info


class _Frame(NamedTuple):
    """One volume of the table, image and labels; `turn` brings labels onto the image's grid."""

    ref: LabeledRef
    image: Place
    labels: Place | None
    turn: Turn | None


class AcdcSource:
    """The labelled frames of all patients in `paths`; only headers are read before `read`.

    A path is a patient's folder, a folder of them, or the root of the data set. ED and ES of every
    patient are always there; with `phases` "all" so is every other frame that has labels, with
    "ed_es" none. A patient without any label file (the challenge's test set as first released) has
    ED and ES without labels. A frame without a file of its own is taken from the cine.
    """

    labels = HEART_LABELS
    cavities = HEART_CAVITIES

    def __init__(self, paths: PathLike, *, phases: Phases = "all"):
        """UserError for a missing Info.cfg, ED, ES or label file, and for unequal shapes."""
        folders = find_patients(paths)
        self._frames = [f for folder in folders for f in _patient_frames(folder, phases)]
        self.volumes = tuple(frame.ref for frame in self._frames)
        places = [p for f in self._frames for p in (f.image, f.labels) if p is not None]
        found = spacing_remark({place.path: place.grid for place in places})
        self.remarks = (*left_out_remarks(paths), *([] if found is None else [found]))

    def read(self, i: int) -> LabeledVolume:
        """The volume `volumes[i]`; UserError for damaged files and labels outside 0 to 3."""
        ref, image, labels, turn = self._frames[i]
        return LabeledVolume(
            image=contiguous(image.read()),
            labels=None
            if labels is None or turn is None
            else read_labels(labels, turn, self.labels),
            spacing=image.grid.spacing,
            affine=image.grid.affine,
            name=ref.name,
            patient=ref.patient,
            phase=ref.phase,
            group=ref.group,
        )


def _patient_frames(folder: Path, phases: Phases) -> list[_Frame]:
    """The volumes of one patient in the order of time, with their shapes compared."""
    patient, info = folder.resolve().name, read_info(folder)
    named = {frame_number(folder, info, phase): phase for phase in (ED, ES)}
    if len(named) < 2:
        raise UserError(
            f"{folder / INFO}: ED and ES are both frame {info[ED]}; expected two frames, "
            "correct the file"
        )
    labels = _label_places(folder, patient)
    if labels and not named.keys() <= labels.keys():
        number = next(n for n in named if n not in labels)
        raise UserError(
            f"{folder}: {named[number]} has no labels, although frame {min(labels):02d} has; "
            f"expected {patient}_frame{number:02d}_gt.nii.gz, restore the file or leave out this "
            "patient"
        )
    numbers = {*named, *labels} if phases == "all" else named
    return [
        _frame(folder, patient, number, named.get(number), info.get("Group"), labels.get(number))
        for number in sorted(numbers)
    ]


def _frame(
    folder: Path,
    patient: str,
    number: int,
    phase: str | None,
    group: str | None,
    labels: Place | None,
) -> _Frame:
    name = f"{patient}_frame{number:02d}"
    image = _image_place(folder, patient, number, phase)
    depth, height, width = image.grid.shape[-3:]
    turn = None if labels is None else turn_to(image, labels)
    ref = LabeledRef(
        name,
        patient,
        phase or f"frame{number:02d}",
        (depth, height, width),
        group,
        labels is not None,
    )
    return _Frame(ref, image, labels, turn)


def _label_places(folder: Path, patient: str) -> dict[int, Place]:
    """The places of the labels of every labelled frame, by its number; files of one frame win."""
    places: dict[int, Place] = {}
    cine = _existing(folder, f"{patient}_4d_gt")
    if cine is not None:
        grid = _cine_grid(cine)
        places = {t + 1: Place(cine, grid, t) for t in range(grid.shape[0])}
    pattern = re.compile(rf"{re.escape(patient)}_frame(\d+)_gt\.nii(\.gz)?")
    for path in visible(folder):
        match = pattern.fullmatch(path.name)
        if match:
            places[int(match[1])] = Place(path, _frame_grid(path))
    return places


def _image_place(folder: Path, patient: str, number: int, phase: str | None) -> Place:
    path = _existing(folder, f"{patient}_frame{number:02d}")
    if path is not None:
        return Place(path, _frame_grid(path))
    cine = _existing(folder, f"{patient}_4d")
    if cine is not None and number <= (grid := _cine_grid(cine)).shape[0]:
        return Place(cine, grid, number - 1)
    raise UserError(
        f"{folder}: no image of {phase or 'the labelled frame'} {number}; expected "
        f"{patient}_frame{number:02d}.nii.gz or a {patient}_4d.nii.gz that long, restore the file "
        "or leave out this patient"
    )


def _existing(folder: Path, stem: str) -> Path | None:
    paths = (folder / f"{stem}{suffix}" for suffix in NIFTI)
    # A link to nothing is no missing file: reading it says so.
    return next((path for path in paths if path.is_file() or path.is_symlink()), None)


def _cine_grid(path: Path) -> VoxelGrid:
    grid = read_grid(path)
    if len(grid.shape) < 4:
        raise UserError(
            f"{path}: has the axes (Z, H, W) of a single frame, {grid.shape}; expected four axes "
            "in a 4d file, restore it"
        )
    return grid


def _frame_grid(path: Path) -> VoxelGrid:
    grid = read_grid(path)
    if len(grid.shape) > 3:
        raise UserError(
            f"{path}: has the axes (T, Z, H, W) of a cine, {grid.shape}; expected a single frame, "
            f"name it {path.name.partition('_')[0]}_4d.nii.gz if it is one"
        )
    return grid
