"""The protocol of sources of labelled images: a table of volumes, and a way to read one.

Volumes are stacks of slices (Z, H, W); pixels are uint8 labels, the positions of their names in the
`labels` of the source. The first of them, 0, is the background.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

BACKGROUND = "background"


class LabeledRef(NamedTuple):
    """One volume in the table: its name, whose it is, and what its arrays look like.

    Attributes:
      name: unique in the source, as patient001_frame01.
      phase: the moment of the cardiac cycle, see `jaxnas.data.cine`; empty for what does not beat.
      shape: (Z, H, W).
      group: diagnosis or clinical group, or None.
      labeled: whether `read` gives labels.
    """

    name: str
    patient: str
    phase: str
    shape: tuple[int, int, int]
    group: str | None = None
    labeled: bool = True


class LabeledVolume(NamedTuple):
    """One volume as it leaves a source.

    Attributes:
      image: float32 (Z, H, W), finite, in the units of the file.
      labels: uint8 (Z, H, W), below the number of the source's labels, or None.
      spacing: (dz, dy, dx) in mm.
      affine: from voxel (x, y, z) to scanner mm, float64 (4, 4), or None where no file says so.
    """

    image: np.ndarray
    labels: np.ndarray | None
    spacing: tuple[float, float, float]
    affine: np.ndarray | None
    name: str
    patient: str
    phase: str
    group: str | None = None

    @property
    def truth(self) -> np.ndarray:
        """The labels; ValueError for a volume without any."""
        if self.labels is None:
            raise ValueError(f"expected labels of {self.name}, found none")
        return self.labels


@runtime_checkable
class LabeledSource(Protocol):
    """Volumes in a fixed order; `read` may be called from any number of threads.

    `labels` are the names of the labels 0, 1, …, of which a network tells as many classes apart.

    A source may also have `annotated`, those that its labels tell apart; see `annotated`;
    `cavities`, those that fill and empty as a heart beats; see `cavities`; and `remarks`, sentences
    about what it found strange in its files and what it made of that.
    """

    @property
    def volumes(self) -> tuple[LabeledRef, ...]:
        """The volumes, by what is known without reading them."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels 0, 1, …"""
        ...

    def read(self, i: int) -> LabeledVolume:
        """The volume behind `volumes[i]`."""
        ...


def annotated(source: LabeledSource) -> dict[str, int]:
    """The foreground classes that `source` labels and their labels; all where it does not say.

    A class that is not among them is part of the background of its labels.
    """
    names = getattr(source, "annotated", source.labels[1:])
    return {name: source.labels.index(name) for name in names}


def cavities(source: LabeledSource) -> tuple[str, ...]:
    """The classes that fill and empty between end-diastole and end-systole; none but in hearts."""
    return getattr(source, "cavities", ())


def patient_names(source: LabeledSource) -> tuple[str, ...]:
    """The patients of `source`, each once, in order."""
    return tuple(dict.fromkeys(ref.patient for ref in source.volumes))


def volume_indices(source: LabeledSource, patients: Iterable[str]) -> tuple[int, ...]:
    """Positions in `source.volumes` of the volumes of the named patients, in order."""
    wanted = set(patients)
    return tuple(i for i, ref in enumerate(source.volumes) if ref.patient in wanted)
