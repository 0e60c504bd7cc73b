"""MoDL-Brain: multi-coil brain images, coil maps and 2-D masks in one HDF5 file.

Layout, for `trn` and for `tst` (either may be absent): `Org` (n, H, W) complex images, `Csm`
(n, C, H, W) complex coil maps, `Mask` (n, H, W) of zeros and ones, one for every slice. The
published file holds 360 training slices (4 subjects of 90) and 164 test slices of a fifth subject,
256×232 with 12 coils. Its masks, and the transform they belong to, are not centred: zero frequency
is at [0, 0].
"""

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data import hdf5
from jaxnas.data.coils import expand_coils, unit_maps
from jaxnas.data.files import HDF5, PathLike, find_files
from jaxnas.data.source import Slice, SliceRef
from jaxnas.data.transforms import narrowed

_GROUP_NAMES = {"trn": "train", "tst": "test"}
PER_SUBJECT = 90  # the training subjects have this many slices each
RANKS = {"Org": "(n, H, W)", "Csm": "(n, C, H, W)", "Mask": "(n, H, W)"}


class _Group(NamedTuple):
    """The training or the test half of a file."""

    path: Path
    prefix: str
    shape: tuple[int, int, int, int]  # (n, C, H, W)


class ModlBrainSource:
    """The slices of MoDL-Brain files, fully sampled, with the coil maps of the file.

    K-space is F(s_c x) in this library's centred, unitary transform, whatever the file's mask;
    `mask` gives that one. Volumes are called modl_train_0, modl_train_1, ... and modl_test_0, ...:
    the file does not tell subjects apart, so every 90 slices are one where the number of slices is
    a multiple of 90, and otherwise all are one. Several files are counted through.
    """

    def __init__(self, paths: PathLike):
        groups = [g for path in find_files(paths, suffixes=HDF5) for g in _open(path)]
        self._places: list[tuple[_Group, int]] = []
        refs: list[SliceRef] = []
        subjects = dict.fromkeys(_GROUP_NAMES, 0)
        for group in groups:
            slices, coils, height, width = group.shape
            each = PER_SUBJECT if slices % PER_SUBJECT == 0 else slices
            for i in range(slices):
                number = subjects[group.prefix] + i // each
                name = f"modl_{_GROUP_NAMES[group.prefix]}_{number}"
                refs.append(SliceRef(name, i % each, (height, width), coils))
                self._places.append((group, i))
            subjects[group.prefix] += slices // each
        self.slices = tuple(refs)
        self.labels = {ref.volume: {"subject": ref.volume} for ref in refs}

    def read(self, i: int) -> Slice:
        """The fully sampled slice `slices[i]` with `sens`; a single coil has none."""
        group, row = self._places[i]
        image, sens = _read(group, "Org", row), _read(group, "Csm", row)
        if len(sens) > 1:
            sens = unit_maps(sens, where=f"{group.path}: '{group.prefix}Csm'")
        kspace = expand_coils(image, sens)
        if len(sens) == 1:
            kspace, sens = kspace[0], None
        return Slice(kspace, sens, None, *self.slices[i][:2])

    def mask(self, i: int) -> np.ndarray:
        """The file's own sampling of slice `slices[i]`, bool (H, W), centred as `read` is.

        Where A x = mask · fft2(s x) / √(H W) is the file's operator, without any shift, the k-space
        of `read` under this mask is fftshift(A ifftshift(x)): the same samples of the same image,
        up to a linear phase.
        """
        group, row = self._places[i]
        mask = _read(group, "Mask", row)
        if not np.isin(mask, (0, 1)).all():
            raise UserError(
                f"{group.path}: dataset '{group.prefix}Mask' has values other than 0 and 1 in "
                f"slice {row}; expected 1 for every measured sample, rewrite the mask"
            )
        return np.fft.fftshift(mask.astype(bool))


def _open(path: Path) -> list[_Group]:
    """The groups of a file, their shapes checked; no pixel is read."""
    with hdf5.open_file(path) as file:
        prefixes = [p for p in _GROUP_NAMES if any(f"{p}{name}" in file for name in RANKS)]
        if not prefixes:
            raise UserError(
                f"{path}: no dataset 'trnOrg' or 'tstOrg' (the file has: "
                f"{', '.join(sorted(file)) or 'nothing'}); expected the MoDL-Brain layout, name "
                "dataset.hdf5 or use another reader"
            )
        return [_Group(path, prefix, _shape(file, prefix)) for prefix in prefixes]


def _shape(file: h5py.File, prefix: str) -> tuple[int, int, int, int]:
    """(n, C, H, W), on which all three datasets agree."""
    found = {name: hdf5.get_dataset(file, f"{prefix}{name}") for name in RANKS}
    for name, dataset in found.items():
        where = f"{file.filename}: dataset '{prefix}{name}'"
        if dataset.ndim != len(RANKS[name].split(",")) or 0 in dataset.shape:
            raise UserError(
                f"{where} has shape {dataset.shape}; expected {RANKS[name]} with at least one "
                "slice, rewrite it"
            )
        if (dataset.dtype.kind == "c") != (name != "Mask"):
            numbers = "zeros and ones" if name == "Mask" else "complex numbers"
            raise UserError(f"{where} is {dataset.dtype}; expected {numbers}, rewrite it")
    slices, height, width = found["Org"].shape
    coils = found["Csm"].shape[1]
    wanted = {"Csm": (slices, coils, height, width), "Mask": (slices, height, width)}
    for name, expected in wanted.items():
        if found[name].shape != expected:
            raise UserError(
                f"{file.filename}: dataset '{prefix}{name}' has shape {found[name].shape}; "
                f"expected {expected} to fit '{prefix}Org' {found['Org'].shape}, rewrite it"
            )
    return slices, coils, height, width


def _read(group: _Group, name: str, row: int) -> np.ndarray:
    dataset = f"{group.prefix}{name}"
    values = hdf5.read_dataset(group.path, dataset, (row,))
    return narrowed(values, where=f"{group.path}: dataset {dataset!r}", index=row)
