"""fastMRI data sets: knee and brain, one coil or many, training files and masked test files.

Layout of an HDF5 file, one volume, which is checked once and read one slice at a time: `kspace`
(S, H, W) or (S, C, H, W) complex; `reconstruction_esc` or `reconstruction_rss` (S, h, w) real with
the attribute `max` where the target is public; `mask` (W,) or (H, W) where k-space is undersampled;
`ismrmrd_header`, XML. Everything but `kspace` may be absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data import hdf5
from jaxnas.data.files import HDF5, PathLike, find_files
from jaxnas.data.ismrmrd import parse_header, parse_scanner
from jaxnas.data.sampling import examined
from jaxnas.data.source import Slice, SliceRef
from jaxnas.data.transforms import IMAGE_AXES, centred, narrowed

ONES = (1, 255)  # of a mask; images of one byte have the latter
TARGETS = ("reconstruction_esc", "reconstruction_rss")


class FastMRISource:
    """The slices of all fastMRI HDF5 files in `paths`, in order of file name and slice.

    Files of any size, coil count and split may be mixed. Opening reads every table of contents
    and no pixels; a file that does not follow the layout raises UserError (see
    jaxnas.data.fastmri).
    """

    def __init__(self, paths: PathLike, *, origin: str = "center"):
        """`origin` is where the files have the zero frequency, `center` or `corner`."""
        files = find_files(paths, suffixes=HDF5)
        self.volumes = tuple(open_volume(path, origin=origin) for path in files)
        self.slices = tuple(
            SliceRef(v.name, i, v.shape, v.coils, v.mask is not None)
            for v in self.volumes
            for i in range(v.slices)
        )
        self.labels = {v.name: v.labels for v in self.volumes}
        self._ends = np.cumsum([v.slices for v in self.volumes])

    def read(self, i: int) -> Slice:
        """The slice `slices[i]`; coil sensitivities are not part of fastMRI files."""
        volume = self.volumes[np.searchsorted(self._ends, i, side="right")]
        return read_slice(volume, self.slices[i].index)


@dataclass(frozen=True, eq=False)
class Volume:
    """The table of contents of one file; no pixel has been read.

    Attributes:
      path: the file. name: its file name, which also seeds masks as in fastMRI.
      slices: S. shape: (H, W) of k-space. coils: C, 1 where there is no coil axis or a single one.
      attrs: the file's attributes as Python values.
      target: name of the dataset with reference images, or None.
      image_size: (h, w) of the final image: of the target, else of the header, else None.
      padding: columns [left, right) were encoded and the others are zeros.
      mask: measured columns bool (W,) or samples (H, W), zero in the padding too; None where all
        were measured.
      scanner: vendor, model and field strength, or None.
      origin: where k-space is stored with the zero frequency, `center` or `corner`.
    """

    path: Path
    name: str
    slices: int
    shape: tuple[int, int]
    coils: int
    attrs: Mapping[str, Any]
    target: str | None
    image_size: tuple[int, int] | None
    padding: tuple[int, int]
    mask: np.ndarray | None
    scanner: str | None
    origin: str = "center"

    @property
    def labels(self) -> dict[str, str]:
        """The contrast, subject and scanner, as far as the file names them."""
        found = {
            "contrast": self.attrs.get("acquisition"),
            "subject": self.attrs.get("patient_id"),
            "scanner": self.scanner,
        }
        said = {name: str(value).strip() for name, value in found.items() if value is not None}
        return {name: value for name, value in said.items() if value}


def open_volume(path: str | Path, *, origin: str = "center") -> Volume:
    """Reads and checks the table of contents of a fastMRI file; UserError says what is wrong.

    `origin` corner: k-space and mask are stored with the zero frequency at [0, 0].
    """
    path = Path(path)
    with hdf5.open_file(path) as file:
        shape = _kspace_shape(file)
        slices, coils, (height, width) = shape[0], shape[1:-2], shape[-2:]
        attrs = {name: _plain(value) for name, value in file.attrs.items()}
        target, target_size = _target(file, slices, attrs)
        padding, recon_size, scanner = _header(file, width)
        return Volume(
            path=path,
            name=path.name,
            slices=slices,
            shape=(height, width),
            coils=coils[0] if coils else 1,
            attrs=attrs,
            target=target,
            image_size=target_size or recon_size,
            padding=padding,
            mask=_mask(file, (height, width), padding, origin),
            scanner=scanner,
            origin=origin,
        )


def read_slice(volume: Volume, index: int) -> Slice:
    """Slice `index` of `volume`, and what was measured of it.

    UserError for NaN, infinity and numbers beyond float32, and where the mask contradicts k-space.
    """
    with hdf5.open_file(volume.path) as file:
        kspace = centred(_read(file, "kspace", index), volume.origin)
        target = _read(file, volume.target, index) if volume.target else None
    if kspace.ndim == 3 and volume.coils == 1:
        kspace = kspace[0]
    item = Slice(
        kspace=kspace,
        sens=None,
        mask=volume.mask,
        volume=volume.name,
        index=index,
        target=target,
        max=volume.attrs.get("max"),
        encoded=_between(*volume.padding, volume.shape[1]),
    )
    return examined(item, where=f"{volume.path}: dataset 'kspace'")


def _kspace_shape(file: h5py.File) -> tuple[int, ...]:
    kspace = hdf5.get_dataset(file, "kspace")
    where = f"{file.filename}: dataset 'kspace'"
    if kspace.dtype.kind != "c":
        raise UserError(
            f"{where} is {kspace.dtype}; expected complex numbers, "
            "store real and imaginary parts as one complex64 dataset"
        )
    if kspace.ndim not in (3, 4):
        raise UserError(
            f"{where} has {kspace.ndim} axes {kspace.shape}; "
            "expected (slices, H, W) or (slices, coils, H, W), reshape it"
        )
    if 0 in kspace.shape:
        raise UserError(
            f"{where} has shape {kspace.shape} and so no data; "
            "expected at least one slice, leave this file out"
        )
    return kspace.shape


def _target(file: h5py.File, slices: int, attrs: Mapping[str, Any]):
    """Name and (h, w) of the reference images, or (None, None)."""
    name = next((name for name in TARGETS if name in file), None)
    if name is None:
        return None, None
    target = hdf5.get_dataset(file, name)
    if target.ndim != 3 or len(target) != slices:
        raise UserError(
            f"{file.filename}: dataset {name!r} has shape {target.shape}; "
            f"expected ({slices}, h, w), one image for every slice of 'kspace', rewrite the file"
        )
    peak = attrs.get("max")
    if not isinstance(peak, int | float) or not 0 <= peak < np.inf:
        raise UserError(
            f"{file.filename}: attribute 'max' is {'missing' if peak is None else peak}; "
            f"expected a number beside {name!r}, set it to the maximum of that dataset"
        )
    return name, target.shape[1:]


def _header(file: h5py.File, width: int):
    """Encoded columns (left, right); (h, w) of the image and the scanner, or None if not told."""
    if "ismrmrd_header" not in file:
        return (0, width), None, None
    try:
        xml = hdf5.get_dataset(file, "ismrmrd_header")[()]
        header, scanner = parse_header(xml), parse_scanner(xml)
    except ValueError as error:
        raise UserError(
            f"{file.filename}: dataset 'ismrmrd_header' is wrong: {error}; "
            "expected an ISMRMRD header, repair it or delete the dataset"
        ) from None
    left, right = header.padding
    if not 0 <= left < right <= width:
        raise UserError(
            f"{file.filename}: 'ismrmrd_header' says columns {left} to {right} were encoded; "
            f"expected a range within the {width} of 'kspace', repair it or delete the dataset"
        )
    return (left, right), header.recon[:2], scanner


def _mask(
    file: h5py.File, shape: tuple[int, int], padding: tuple[int, int], origin: str
) -> np.ndarray | None:
    """Measured columns (W,) or samples (H, W), bool; None where there is no mask or it is full."""
    if "mask" not in file:
        return None
    stored = np.asarray(hdf5.get_dataset(file, "mask"))
    mask, where = _flat(stored, shape), f"{file.filename}: dataset 'mask'"
    if mask is None:
        raise UserError(
            f"{where} has shape {stored.shape}; expected ({shape[1]},), one entry for every column "
            f"of 'kspace', or {shape} for every sample, the same for all slices, rewrite the mask"
        )
    if not any(np.isin(mask, (0, one)).all() for one in ONES):
        raise UserError(
            f"{where} has values other than 0 and 1; "
            "expected 1 for every measured column, rewrite the mask"
        )
    encoded, mask = _between(*padding, shape[1]), mask > 0
    mask = centred(mask, origin, axes=IMAGE_AXES[-mask.ndim :])
    if mask.all() or (encoded is not None and mask[..., encoded].all()):
        return None
    return mask if encoded is None else mask & encoded


def _flat(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray | None:
    """A mask as other tools store it, with unit axes or repeated for rows and slices, as columns
    (W,) or samples (H, W); None for one that is neither."""
    mask = mask.squeeze() if mask.size > 1 else mask
    if mask.ndim and mask.shape[-1] == shape[1]:
        rows = mask.reshape(-1, shape[1])
        if (rows == rows[0]).all():
            return rows[0]
    return mask if mask.shape == shape else None


def _read(file: h5py.File, name: str, index: int) -> np.ndarray:
    values = np.asarray(hdf5.get_dataset(file, name)[index])
    return narrowed(values, where=f"{file.filename}: dataset {name!r}", index=index)


def _between(left: int, right: int, width: int) -> np.ndarray | None:
    """Columns [left, right) of `width`, bool (W,); None for all of them."""
    if (left, right) == (0, width):
        return None
    columns = np.arange(width)
    return (left <= columns) & (columns < right)


def _plain(value: Any) -> Any:
    """An HDF5 attribute as a Python value; bytes that are not UTF-8 are replaced."""
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, str):  # h5py hands bytes it cannot decode through as surrogates
        value = value.encode(errors="surrogateescape")
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if isinstance(value, np.generic) else value
