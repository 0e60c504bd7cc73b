"""The protocol of sources of labelled cardiac images: a table of volumes, and a way to read one.

Volumes are short-axis stacks (Z, H, W), slice by slice; pixels are uint8 labels, the positions of
their names in CLASSES, as the ACDC challenge numbers them.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

CLASSES = ("background", "rv", "myo", "lv")
ED, ES = "ED", "ES"  # end-diastole and end-systole

# Which volumes of a cine a source has: every labelled frame, or ED and ES alone.
Phases = Literal["all", "ed_es"]


class LabeledRef(NamedTuple):
    """One volume in the table: its name, whose it is, and what its arrays look like.

    Attributes:
      name: unique in the source, as patient001_frame01.
      phase: "ED", "ES", or "frame07" for another moment of the cardiac cycle.
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
      labels: uint8 (Z, H, W), see CLASSES, or None.
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


class Cine(NamedTuple):
    """A beating heart: `frames` float32 (T, Z, H, W), spacing and affine as of LabeledVolume."""

    frames: np.ndarray
    spacing: tuple[float, float, float]
    affine: np.ndarray | None

    def volume(self, t: int, name: str) -> LabeledVolume:
        """Frame `t` (from 0) as a volume without labels, called `name`_frameTT from 01."""
        phase = f"frame{t + 1:02d}"
        return LabeledVolume(
            self.frames[t], None, self.spacing, self.affine, f"{name}_{phase}", name, phase
        )


@runtime_checkable
class LabeledSource(Protocol):
    """Volumes in a fixed order; `read` may be called from any number of threads.

    A source may also have `annotated`, the classes that its labels tell apart; see `annotated`; and
    `remarks`, sentences about what it found strange in its files and what it made of that.
    """

    volumes: tuple[LabeledRef, ...]

    def read(self, i: int) -> LabeledVolume:
        """The volume behind `volumes[i]`."""
        ...


def annotated(source: LabeledSource) -> tuple[str, ...]:
    """The names of the foreground classes that `source` labels; all where it does not say.

    A class that is not among them is part of the background of its labels.
    """
    return getattr(source, "annotated", CLASSES[1:])


def patient_names(source: LabeledSource) -> tuple[str, ...]:
    """The patients of `source`, each once, in order."""
    return tuple(dict.fromkeys(ref.patient for ref in source.volumes))


def volume_indices(source: LabeledSource, patients: Iterable[str]) -> tuple[int, ...]:
    """Positions in `source.volumes` of the volumes of the named patients, in order."""
    wanted = set(patients)
    return tuple(i for i, ref in enumerate(source.volumes) if ref.patient in wanted)
