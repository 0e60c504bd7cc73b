"""What every data source offers: a table of slices, and a way to read one."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

Labels = Mapping[str, Mapping[str, str]]


class SliceRef(NamedTuple):
    """One slice in the table: its volume, its index there, and what its arrays look like.

    Attributes:
      shape: (H, W) of k-space.
      coils: 1 means arrays without a coil axis.
      masked: whether k-space is already undersampled, so that there is no ground truth.
    """

    volume: str
    index: int
    shape: tuple[int, int]
    coils: int
    masked: bool = False


class Slice(NamedTuple):
    """One slice as it leaves a source.

    Attributes:
      kspace: complex64 (H, W), or (C, H, W) where there are several coils; finite.
      sens: coil sensitivities complex64 (C, H, W), or None.
      mask: the columns that were measured, bool (W,), or None where all were.
      volume: the name of the volume, unique in the source.
      index: the slice within the volume.
      target: reference magnitude image float32 (h, w) of the file, or None.
      max: the largest value of the volume's target, or None.
      padding: columns [left, right) were encoded, those outside are zeros; None for all.
    """

    kspace: np.ndarray
    sens: np.ndarray | None
    mask: np.ndarray | None
    volume: str
    index: int
    target: np.ndarray | None = None
    max: float | None = None
    padding: tuple[int, int] | None = None

    @property
    def columns(self) -> np.ndarray:
        """The columns that hold measurements, bool (W,)."""
        if self.mask is not None:
            return self.mask
        width = self.kspace.shape[-1]
        left, right = self.padding or (0, width)
        return (np.arange(width) >= left) & (np.arange(width) < right)


@runtime_checkable
class Source(Protocol):
    """Slices in a fixed order; `read` may be called from any number of threads.

    A source may also have `labels`, what is known of its volumes besides their names: label by
    name (contrast, subject, scanner) for every volume; see `labels_of`.
    """

    slices: tuple[SliceRef, ...]

    def read(self, i: int) -> Slice:
        """The slice behind `slices[i]`."""
        ...


def labels_of(source: Source) -> Labels:
    """The labels of every volume that has any; none where `source` offers none."""
    return getattr(source, "labels", {})


def volume_names(source: Source) -> tuple[str, ...]:
    """The volumes of `source`, each once, in order."""
    return tuple(dict.fromkeys(ref.volume for ref in source.slices))
