"""The protocol of data sources: a table of slices, and a way to read one."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

Labels = Mapping[str, Mapping[str, str]]


class SliceRef(NamedTuple):
    """One slice in the table: its volume, its index there, and what its arrays look like.

    Attributes:
      shape: (H, W) of k-space.
      coils: 1 means arrays without a coil axis.
      masked: whether a mask beside k-space says that it is undersampled already.
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
      mask: of an undersampled slice the measured columns bool (W,) or samples bool (H, W), whether
        its file says so or not; None for a fully sampled one.
      volume: the name of the volume, unique in the source.
      index: the slice within the volume.
      target: reference magnitude image float32 (h, w) of the file, or None.
      max: the largest value of the volume's target, or None.
      encoded: of a fully sampled slice the columns that were, bool (W,), the others being zeros;
        None for all.
    """

    kspace: np.ndarray
    sens: np.ndarray | None
    mask: np.ndarray | None
    volume: str
    index: int
    target: np.ndarray | None = None
    max: float | None = None
    encoded: np.ndarray | None = None

    @property
    def columns(self) -> np.ndarray:
        """The columns that hold measurements, bool (W,)."""
        return np.any(self.sampled, axis=0)

    @property
    def sampled(self) -> np.ndarray:
        """The columns, bool (1, W), or single samples, bool (H, W), that hold measurements."""
        known = self.encoded if self.mask is None else self.mask
        return np.atleast_2d(np.ones(self.kspace.shape[-1], bool) if known is None else known)


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
