"""Sunnybrook cine slices with contours of the left ventricle, as one HDF5 file.

Datasets: `image` and `label` uint8 (N, H, W), `subject` and `file` (N,) strings. Slices of a
subject come from 20 frames per level: file SC-N-09-IM-0001-0046.dcm.png is number 46, hence level
(46 - 1) // 20 and frame (46 - 1) % 20. Contours exist at two frames; the one whose cavity is larger
is end-diastole. Slices that have no contour are not in the file.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import ED, ES, HEART_CAVITIES, HEART_LABELS, LabeledRef, LabeledVolume
from jaxnas.data.files import HDF5, PathLike, find_files
from jaxnas.data.hdf5 import get_dataset, open_file, read_dataset

FRAMES = 20  # per level, throughout the data set
SPACING = (8.0, 1.25, 1.25)  # mm; nominal, the file does not say (SC-HF: levels 10 mm apart)
CAVITY = 1  # the label of the left cavity in the file; everything else is 0

_NUMBER = re.compile(r"-(\d+)\.dcm")


class _Volume(NamedTuple):
    """A volume and the rows of its file that make it up, from base to apex."""

    ref: LabeledRef
    path: Path
    rows: tuple[int, ...]


class SunnybrookSource:
    """ED and ES of every subject: label 3 (lv) where the file says cavity, otherwise 0.

    Right ventricle and myocardium are background in these labels, see `annotated`: they serve to
    score the cavity, not to train all classes.
    """

    labels = HEART_LABELS
    cavities = HEART_CAVITIES
    annotated = ("lv",)

    def __init__(self, paths: PathLike):
        """UserError for missing datasets, unequal lengths and names without a number."""
        files = find_files(paths, suffixes=HDF5)
        self._volumes = [volume for path in files for volume in _file_volumes(path)]
        self.volumes = tuple(volume.ref for volume in self._volumes)
        _check_unique(self._volumes)

    def read(self, i: int) -> LabeledVolume:
        """The volume `volumes[i]`; UserError for labels other than 0 and 1."""
        ref, path, rows = self._volumes[i]
        image = np.stack([read_dataset(path, "image", (row,)) for row in rows])
        cavity = np.stack([read_dataset(path, "label", (row,)) for row in rows])
        strange = cavity[(cavity != 0) & (cavity != CAVITY)]
        if strange.size:
            raise UserError(
                f"{path}: has the label {strange[0]} in {ref.patient}; expected 0 and {CAVITY} for "
                "the cavity, correct the labels"
            )
        return LabeledVolume(
            image=image.astype(np.float32),
            labels=np.where(cavity == CAVITY, self.labels.index("lv"), 0).astype(np.uint8),
            spacing=SPACING,
            affine=None,
            name=ref.name,
            patient=ref.patient,
            phase=ref.phase,
            group=ref.group,
        )


def _file_volumes(path: Path) -> list[_Volume]:
    with open_file(path) as file:
        subjects, names = (get_dataset(file, name).asstr()[:] for name in ("subject", "file"))
        shapes = {name: get_dataset(file, name).shape for name in ("image", "label")}
        areas = [np.count_nonzero(labels) for labels in get_dataset(file, "label")]
    if len(shapes["image"]) != 3 or shapes["image"] != shapes["label"]:
        raise UserError(
            f"{path}: has images of shape {shapes['image']} and labels of {shapes['label']}; "
            "expected (N, H, W) for both, restore the file"
        )
    if not len(subjects) == len(names) == len(areas):
        raise UserError(
            f"{path}: has {len(areas)} images, {len(subjects)} subjects and {len(names)} files; "
            "expected equally many, restore the file"
        )
    numbers = [_number(path, name) - 1 for name in names]
    volumes = []
    for subject in dict.fromkeys(subjects):
        rows = [i for i, s in enumerate(subjects) if s == subject]
        volumes += _subject_volumes(path, str(subject), rows, numbers, areas, shapes["image"][1:])
    return volumes


def _subject_volumes(path, subject, rows, numbers, areas, shape) -> list[_Volume]:
    """One volume for every frame at which `subject` has contours, ED first."""
    moments = {frame: [] for frame in sorted({numbers[row] % FRAMES for row in rows})}
    for row in sorted(rows, key=lambda row: numbers[row]):
        moments[numbers[row] % FRAMES].append(row)
    # Mean and not sum: contours of the smallest end-systolic slices are often missing.
    order = sorted(moments, key=lambda frame: -np.mean([areas[row] for row in moments[frame]]))
    phases = (ED, ES) if len(order) == 2 else [f"frame{frame + 1:02d}" for frame in order]
    group = subject.removeprefix("SC-").rpartition("-")[0] or None
    return [
        _Volume(
            LabeledRef(f"{subject}_{phase}", subject, phase, (len(moments[m]), *shape), group),
            path,
            tuple(moments[m]),
        )
        for m, phase in zip(order, phases)
    ]


def _number(path: Path, name: str) -> int:
    match = _NUMBER.search(name)
    if match is None:
        raise UserError(
            f"{path}: has a slice from {name!r}; expected a name that ends with -<number>.dcm.png, "
            "restore the dataset 'file'"
        )
    return int(match[1])


def _check_unique(volumes: list[_Volume]) -> None:
    seen: dict[str, Path] = {}
    for volume in volumes:
        if seen.setdefault(volume.ref.patient, volume.path) != volume.path:
            raise UserError(
                f"{volume.path}: has {volume.ref.patient}, as {seen[volume.ref.patient]} has; "
                "expected every subject in one file, leave one of them out"
            )
