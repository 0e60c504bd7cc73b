"""Writing beating hearts in the layout of ACDC: folders of .nii.gz files with Info.cfg."""

from functools import partial
from pathlib import Path

import numpy as np

from jaxnas.core.files import write_atomic
from jaxnas.data.annotation import LabeledVolume
from jaxnas.data.cine import ED, ES
from jaxnas.data.heart import HeartSource
from jaxnas.data.make import OnFile, ignore_file
from jaxnas.data.nifti import write_image
from jaxnas.data.patients import INFO

CYCLE = 1000.0  # ms


def make_acdc(
    folder: str | Path, source: HeartSource, *, on_file: OnFile = ignore_file
) -> list[Path]:
    """Writes every patient of `source` as ACDC has them, and returns the patients' folders.

    The cine holds all frames; ED, ES and whatever else is a volume of `source` are written as
    files of one frame too, with their labels. Images are int16, labels uint8. See jaxnas.data.acdc
    for the layout. `on_file` hears of each folder once it is whole.
    """
    folders = []
    for number, name in enumerate(source.patients):
        path = Path(folder) / name
        frames = [source.frame(number, t) for t in range(source.frames)]
        wanted = {ref.name for ref in source.volumes if ref.patient == name}
        write_image(path / f"{name}_4d.nii.gz", _cine(frames))
        for frame in frames:
            if frame.name in wanted:
                write_image(path / f"{frame.name}.nii.gz", _image(frame, frame.image, np.int16))
                labels = _image(frame, frame.truth, np.uint8)
                write_image(path / f"{frame.name}_gt.nii.gz", labels)
        # Last, because a folder without it is known to be incomplete.
        write_atomic(path / INFO, _info(frames))
        on_file(path)
        folders.append(path)
    return folders


HEART_PHANTOMS = (partial(HeartSource, phases="all"), make_acdc)  # as an entry of LABELED_LAYOUTS


def _info(frames: list[LabeledVolume]) -> str:
    number = {frame.phase: t for t, frame in enumerate(frames, 1)}
    lines = {ED: number[ED], ES: number[ES], "Group": frames[0].group, "NbFrame": len(frames)}
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def _cine(frames: list[LabeledVolume]):
    image = _image(frames[0], np.stack([frame.image for frame in frames]), np.int16)
    image.header.set_zooms((*image.header.get_zooms()[:3], CYCLE / len(frames)))
    return image


def _image(frame: LabeledVolume, voxels: np.ndarray, dtype: type):
    """A nibabel image of voxels ([T,] Z, H, W) on the grid of `frame`."""
    import nibabel

    image = nibabel.Nifti1Image(voxels.astype(dtype).T, frame.affine)
    image.header.set_xyzt_units("mm", "msec")
    return image
