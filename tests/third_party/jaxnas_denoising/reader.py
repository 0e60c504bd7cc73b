"""A reader of folders of .npy files: complex k-space (slices, H, W), one volume per file."""

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.files import find_files
from jaxnas.data.open import Reader
from jaxnas.data.source import Slice, SliceRef

SUFFIXES = (".npy",)


class NpyFolder:
    def __init__(self, config):
        self.files = {path.stem: path for path in find_files(config.path, suffixes=SUFFIXES)}
        self.slices = tuple(
            SliceRef(name, i, shape[1:], 1)
            for name, path in self.files.items()
            for shape in [self._open(path).shape]
            for i in range(shape[0])
        )

    def read(self, i):
        ref = self.slices[i]
        kspace = np.asarray(self._open(self.files[ref.volume])[ref.index], np.complex64)
        return Slice(kspace, None, None, ref.volume, ref.index)

    def _open(self, path):
        array = np.load(path, mmap_mode="r")
        if array.ndim != 3 or not np.iscomplexobj(array):
            raise UserError(
                f"{path}: found {array.dtype} {array.shape}, expected complex (S, H, W)"
            )
        return array


NPY_FOLDER = Reader(NpyFolder, SUFFIXES)
