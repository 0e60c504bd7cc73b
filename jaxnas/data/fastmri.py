"""fastMRI data sets: knee and brain, one coil or many, training files and masked test files."""

import numpy as np

from jaxnas.data.files import HDF5, PathLike, find_files
from jaxnas.data.source import Slice, SliceRef
from jaxnas.data.volumes import open_volume, read_slice


class FastMRISource:
    """The slices of all fastMRI HDF5 files in `paths`, in order of file name and slice.

    Files of any size, coil count and split may be mixed. Opening reads every table of contents
    and no pixels; a file that does not follow the layout raises UserError (see
    jaxnas.data.volumes).
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
