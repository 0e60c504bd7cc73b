"""Writing synthetic data in the layouts of public data sets.

What the readers must undo is done here: transforms without shifts, parts interleaved, the scale of
the raw data, columns beyond those that count. Beating hearts are written as ACDC is, folders of
.nii.gz files with Info.cfg, bellies as nnU-Net has its raw data sets. `on_file` hears of each file
once it is whole.
"""

import json
from collections.abc import Iterable
from functools import partial
from itertools import groupby
from pathlib import Path

import h5py
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.files import replacing, write_atomic
from jaxnas.data.annotation import ED, ES, LabeledSource, LabeledVolume
from jaxnas.data.coils import combine_coils
from jaxnas.data.hdf5 import new_file
from jaxnas.data.heart import HeartSource
from jaxnas.data.make import OnFile, ignore_file
from jaxnas.data.nifti import write_image
from jaxnas.data.nifti_folder import DESCRIPTION
from jaxnas.data.organs import OrganSource
from jaxnas.data.patients import INFO
from jaxnas.data.source import Slice, volume_names
from jaxnas.data.splits import slice_indices
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.transforms import centered_ifft2

ACCELERATION = 6  # of the masks in MoDL-Brain
_LINE_WIDTH = 0.35  # their width in k-space, where 1 is the end of an axis
CYCLE = 1000.0  # ms


def make_modl_brain(
    folder: str | Path, source: SyntheticSource, *, on_file: OnFile = ignore_file
) -> list[Path]:
    """Writes dataset.hdf5 as MoDL-Brain has it: the last volume is the test set.

    A source of one volume gives a file without training set, as the published demo. A single coil
    gets maps of ones. See jaxnas.data.modl_brain for the layout.
    """
    *training, test = volume_names(source)
    path = Path(folder) / "dataset.hdf5"
    with new_file(path) as file:
        for prefix, names in (("trn", training), ("tst", [test])):
            indices = slice_indices(source, names)
            if indices:
                _write_group(file, prefix, source, indices)
    on_file(path)
    return [path]


def make_cc359(
    folder: str | Path, source: SyntheticSource, *, on_file: OnFile = ignore_file
) -> list[Path]:
    """Writes every volume as single-channel CC359 .npy; UserError for several coils."""
    if source.slices[0].coils > 1:
        raise UserError(
            f"the layout cc359 has a single channel, found {source.slices[0].coils} coils; "
            "expected one, write cc359_multi instead"
        )
    paths = []
    for name, slices in _volumes(source):
        parts = [_single_channel(source.read(i)) for i in slices]
        path = Path(folder) / f"{name}.npy"
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.save(file, np.stack(parts))
        on_file(path)
        paths.append(path)
    return paths


def make_cc359_multi(
    folder: str | Path, source: SyntheticSource, *, on_file: OnFile = ignore_file
) -> list[Path]:
    """Writes every volume as multi-channel CC359 HDF5, all columns filled."""
    paths = []
    for name, slices in _volumes(source):
        path = Path(folder) / f"{name}.h5"
        with new_file(path) as file:
            height, width = source.slices[slices[0]].shape
            shape = (len(slices), height, width, 2 * source.slices[slices[0]].coils)
            kspace = file.create_dataset("kspace", shape, np.float32)
            for row, i in enumerate(slices):
                kspace[row] = _multi_channel(source.read(i))
        on_file(path)
        paths.append(path)
    return paths


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


def make_nnunet(
    folder: str | Path, source: LabeledSource, *, on_file: OnFile = ignore_file
) -> list[Path]:
    """Writes every volume of `source` as a case, and dataset.json; returns the images' paths.

    Images are int16, labels uint8. `on_file` hears of each image once both files are whole.
    """
    import nibabel  # takes a while to import

    folder, paths = Path(folder), []
    for i, ref in enumerate(source.volumes):
        volume = source.read(i)
        path = folder / "imagesTr" / f"{ref.name}_0000.nii.gz"
        labels = folder / "labelsTr" / f"{ref.name}.nii.gz"
        for file, voxels, dtype in (
            (labels, volume.truth, np.uint8),
            (path, volume.image, np.int16),
        ):
            image = nibabel.Nifti1Image(voxels.astype(dtype).T, volume.affine)
            image.header.set_xyzt_units("mm")
            write_image(file, image)
        on_file(path)
        paths.append(path)
    # Last, because a folder without it is known to be incomplete.
    write_atomic(folder / DESCRIPTION, json.dumps(_description(source), indent=2) + "\n")
    return paths


ORGAN_PHANTOMS = (OrganSource, make_nnunet)  # as an entry of LABELED_LAYOUTS


def _volumes(source: SyntheticSource) -> Iterable[tuple[str, list[int]]]:
    """Every volume with the numbers of its slices."""
    numbers = range(len(source.slices))
    for name, group in groupby(numbers, lambda i: source.slices[i].volume):
        yield name, list(group)


def _write_group(
    file: h5py.File, prefix: str, source: SyntheticSource, indices: tuple[int, ...]
) -> None:
    ref = source.slices[indices[0]]
    rows = len(indices)
    images = file.create_dataset(f"{prefix}Org", (rows, *ref.shape), np.complex64)
    maps = file.create_dataset(f"{prefix}Csm", (rows, ref.coils, *ref.shape), np.complex64)
    masks = file.create_dataset(f"{prefix}Mask", (rows, *ref.shape), np.int8)
    for row, i in enumerate(indices):
        item = source.read(i)
        if item.sens is None:
            images[row] = centered_ifft2(item.kspace)
            maps[row] = np.ones((1, *ref.shape), np.complex64)
        else:
            images[row] = combine_coils(item.kspace, item.sens)
            maps[row] = item.sens
        masks[row] = np.fft.ifftshift(_variable_density(ref.shape, seed=(source.seed, i)))


def _variable_density(shape: tuple[int, int], *, seed: tuple[int, ...]) -> np.ndarray:
    """A centred mask of one sample in six, denser in the centre, bool (H, W)."""
    y, x = ((np.arange(n) - n // 2) / (n / 2) for n in shape)
    r2 = y[:, None] ** 2 + x**2
    # The first arrivals of Poisson processes: sampling without replacement by their rates.
    arrivals = np.random.default_rng(seed).exponential(size=shape) * np.exp(r2 / _LINE_WIDTH**2)
    count = max(arrivals.size // ACCELERATION, 1)
    return arrivals <= np.partition(arrivals, count - 1, axis=None)[count - 1]


def _single_channel(item: Slice) -> np.ndarray:
    """k = √(H W) fft2(x), float32 (H, W, 2)."""
    kspace = np.fft.fft2(centered_ifft2(item.kspace)) * np.sqrt(item.kspace.size)
    return np.stack([np.real(kspace), np.imag(kspace)], axis=-1).astype(np.float32)


def _multi_channel(item: Slice) -> np.ndarray:
    """k = fftshift(fft2(x_c)), float32 (H, W, 2 C) with the parts of every coil side by side."""
    images = centered_ifft2(item.kspace if item.kspace.ndim == 3 else item.kspace[None])
    kspace = np.moveaxis(np.fft.fftshift(np.fft.fft2(images), (-2, -1)), 0, -1)
    parts = np.stack([np.real(kspace), np.imag(kspace)], axis=-1)
    return parts.reshape(*kspace.shape[:2], -1).astype(np.float32)


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


def _description(source: LabeledSource) -> dict:
    return {
        "channel_names": {"0": "MRI"},
        "labels": {name: number for number, name in enumerate(source.labels)},
        "numTraining": len(source.volumes),
        "file_ending": ".nii.gz",
    }
