"""Writing synthetic data, or any k-space, in the fastMRI HDF5 layout."""

import hashlib
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import h5py
import numpy as np

from jaxnas.data.hdf5 import new_file
from jaxnas.data.ismrmrd import Header, format_header
from jaxnas.data.source import Slice
from jaxnas.data.synthetic import SyntheticSource, acquisition
from jaxnas.data.transforms import center_crop, centered_fft2, centered_ifft2
from jaxnas.data.views import center_run

MaskFor = Callable[[str, int], np.ndarray]
OnFile = Callable[[Path], object]


def ignore_file(path: Path) -> None:
    """Listens to nothing."""


def make_dataset(
    folder: str | Path,
    source: SyntheticSource,
    *,
    oversampling: int = 1,
    padding: int = 0,
    mask: MaskFor | None = None,
    on_file: OnFile = ignore_file,
) -> list[Path]:
    """Writes every volume of `source` to `folder` as a fastMRI file and returns the paths.

    `oversampling` repeats the scanner's habit of reading out a field of view that many times
    higher than the image; `padding` zeroes that many columns at either edge of k-space, as after
    a scan of fewer phase encodings. With `mask(file_name, columns) -> bool (columns,)` the files
    are those of a test set: undersampled, with `mask`, without target. `on_file` hears of each as
    soon as it is whole.
    """
    paths = []
    for name, refs in groupby(range(len(source.slices)), lambda i: source.slices[i].volume):
        file = f"{name}.h5"
        kspace = np.stack(
            [_encoded(source.read(i), oversampling=oversampling, padding=padding) for i in refs]
        )
        columns = None if mask is None else mask(file, kspace.shape[-1])
        size = (kspace.shape[-2] // oversampling, kspace.shape[-1])
        path = Path(folder) / file
        write_volume(
            path,
            kspace,
            image_size=size,
            acquisition=acquisition(name),
            padding=padding,
            mask=columns,
        )
        on_file(path)
        paths.append(path)
    return paths


def write_volume(
    path: str | Path,
    kspace: np.ndarray,
    *,
    image_size: tuple[int, int],
    acquisition: str,
    padding: int = 0,
    mask: np.ndarray | None = None,
) -> Path:
    """Writes one volume, complex64 (S, H, W) or (S, C, H, W), atomically; returns `path`.

    Without `mask` the target is |F⁻¹k| or its root sum of squares over coils, cropped to
    `image_size` (h, w), with the attributes `max` and `norm` = √Σ target².
    """
    path = Path(path)
    with new_file(path) as file:
        file["ismrmrd_header"] = format_header(_header(kspace.shape[-2:], image_size, padding))
        file.attrs["acquisition"] = acquisition
        file.attrs["patient_id"] = hashlib.sha256(path.name.encode()).hexdigest()
        if mask is None:
            file["kspace"] = kspace
            _write_target(file, _target(kspace, image_size), single=kspace.ndim == 3)
        else:
            # `where` and not a product: -0.0 would tell the sign of what was removed.
            file["kspace"] = np.where(mask, kspace, np.complex64(0))
            file["mask"] = mask
            file.attrs["acceleration"] = round(len(mask) / np.count_nonzero(mask))
            file.attrs["num_low_frequency"] = center_run(mask)
    return path


def _encoded(item: Slice, *, oversampling: int, padding: int) -> np.ndarray:
    """K-space of a slice as the scanner would have stored it."""
    kspace = item.kspace
    height, width = kspace.shape[-2:]
    if oversampling > 1:
        extra = (oversampling - 1) * height
        rows = (extra // 2, extra - extra // 2)
        image = centered_ifft2(kspace)
        kspace = centered_fft2(np.pad(image, [(0, 0)] * (image.ndim - 2) + [rows, (0, 0)]))
    columns = np.arange(width)
    return np.where((columns >= padding) & (columns < width - padding), kspace, np.complex64(0))


def _header(shape: tuple[int, int], image_size: tuple[int, int], padding: int) -> Header:
    height, width = shape
    return Header(
        encoded=(height, width, 1),
        recon=(*image_size, 1),
        center=width // 2 - padding,
        maximum=width - 2 * padding - 1,
    )


def _target(kspace: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    image = center_crop(np.abs(centered_ifft2(kspace)), image_size)
    if kspace.ndim == 4:
        image = np.sqrt(np.sum(image**2, axis=1))
    return image.astype(np.float32)


def _write_target(file: h5py.File, target: np.ndarray, *, single: bool) -> None:
    for name in ("reconstruction_esc", "reconstruction_rss") if single else ("reconstruction_rss",):
        file[name] = target
    file.attrs["max"] = float(target.max())
    file.attrs["norm"] = float(np.linalg.norm(target))
