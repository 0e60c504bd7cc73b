"""The protocol of sources of labelled images: a table of volumes, and a way to read one.

Volumes are stacks of slices (Z, H, W); pixels are uint8 labels, the positions of their names in the
`labels` of the source. The first of them, 0, is the background. Hearts have labels and
moments of their own. Classes that are absent from all volumes are neither learned nor scored:
`present` is, of every volume, the labels that at least one of its pixels has.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.notices import warn

BACKGROUND = "background"
HEART_LABELS = (BACKGROUND, "rv", "myo", "lv")  # as the ACDC challenge numbers them
HEART_CAVITIES = ("rv", "lv")
ED, ES = "ED", "ES"  # end-diastole and end-systole; other moments are called frame07
# Which volumes of a cine a source has: every labelled frame, or ED and ES alone.
Phases = Literal["all", "ed_es"]


class LabeledRef(NamedTuple):
    """One volume in the table: its name, whose it is, and what its arrays look like.

    Attributes:
      name: unique in the source, as patient001_frame01.
      phase: the moment of the cardiac cycle, such as `ED`; empty for what does not beat.
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


def labels_in(labels: np.ndarray) -> frozenset[int]:
    """The labels that at least one pixel has, uint8 of any shape."""
    return frozenset(np.flatnonzero(np.bincount(labels.ravel())).tolist())


def require_foreground(
    present: Sequence[Collection[int]], names: Collection[str], *, what: str
) -> None:
    """UserError where no volume of `what` has anything but background; expected are `names`."""
    if present and not set().union(*present) - {0}:
        raise UserError(
            f"{what}: all {len(present)} label maps are background only; expected "
            f"{', '.join(names)}, give the labels or a data.size that holds them"
        )


def describe_absent(
    present: Sequence[Collection[int]], names: Mapping[str, int], *, what: str
) -> list[str]:
    """A sentence about the classes that volumes of `what` lack; none if all have all.

    `names` are those of the classes, with their labels.

    For `warn`, or for a list of what was found.
    """
    missing = {n: sum(k not in found for found in present) for n, k in names.items()}
    lacking = ", ".join(f"{name} in {count}" for name, count in missing.items() if count)
    if not lacking:
        return []
    return [
        f"{what}: no pixel is {lacking} of {len(present)} volumes; where neither labels nor "
        "network have a class it has no Dice and is left out of means"
    ]


def warn_of_absent(
    present: Sequence[Collection[int]], names: Mapping[str, int], *, what: str
) -> None:
    """Warns of what `describe_absent` describes."""
    for sentence in describe_absent(present, names, what=what):
        warn(sentence)
