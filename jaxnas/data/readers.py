"""The volumes of a labelled data set, by its name and a path."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxnas.core.errors import UserError
from jaxnas.core.notices import warn
from jaxnas.data.acdc import AcdcSource
from jaxnas.data.annotation import HEART_LABELS, LabeledSource, Phases
from jaxnas.data.files import HDF5, PathLike, expand_paths, left_out, listed
from jaxnas.data.heart import HeartSource
from jaxnas.data.nifti_folder import (
    NiftiFolderSource,
    case_folders,
    check_labels,
    labels_in_folders,
)
from jaxnas.data.patients import EXPECTED, find_patients, left_out_patients
from jaxnas.data.registry import HEART, LABELED_READERS
from jaxnas.data.sunnybrook import SunnybrookSource


@dataclass(frozen=True)
class HeartSettings:
    """The embedded hearts: how many patients, slices and frames per cycle, and (H, W)."""

    patients: int = 10
    slices: int = 8
    size: tuple[int, int] = (128, 128)
    frames: int = 12


def open_labeled(
    kind: str,
    path: PathLike | None,
    *,
    phases: Phases = "all",
    labels: Sequence[str] | None = None,
    heart: HeartSettings = HeartSettings(),
    seed: int = 0,
) -> LabeledSource:
    """The labelled volumes of data set `kind`, `heart` or one of LABELED_READERS.

    `phases` "all" has every labelled frame, "ed_es" ED and ES only; Sunnybrook has no others.
    `labels` are the names of the labels, background first, where the source does not say them.
    `heart` and `seed` are of the embedded hearts, which need no path. UserError for an unknown kind
    and a missing path, and as the readers do. Warns of what a reader remarks.
    """
    if kind == HEART:
        return HeartSource(
            patients=heart.patients,
            slices=heart.slices,
            size=heart.size,
            frames=heart.frames,
            phases=phases,
            seed=seed,
        )
    if kind not in LABELED_READERS:
        raise UserError(
            f"no labelled data set is called {kind!r}; expected one of "
            f"{', '.join((HEART, *LABELED_READERS))}, name one of them"
        )
    if not path:
        raise UserError(
            f"no path is given for the data set {kind!r}; expected the folder or file that holds "
            "it, set the data path"
        )
    check_named(kind, labels)
    source = LABELED_READERS[kind].open(path, phases, labels)
    for remark in getattr(source, "remarks", ()):
        warn(remark)
    return source


HEARTS = (HEART, "acdc", "sunnybrook")  # sources whose labels are always the same


def label_names(
    kind: str, path: PathLike | None, *, labels: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The names of the labels of data set `kind`, background first; reads no image.

    `labels` are those given, which are taken for granted, so that the data need not be there.
    UserError where nothing names them, or where both the source and `labels` do.
    """
    check_named(kind, labels)
    if kind in HEARTS:
        return HEART_LABELS
    if labels is not None:
        return check_labels(tuple(labels), where="data.labels")
    if not path:
        raise UserError(
            f"data.labels: the source {kind!r} names no labels; expected their names, background "
            "first, give them"
        )
    return LABELED_READERS[kind].names(path)


def check_named(kind: str, labels: Sequence[str] | None) -> None:
    """UserError for labels that are given, although the source knows them."""
    if kind in HEARTS and labels is not None and tuple(labels) != HEART_LABELS:
        raise UserError(
            f"data.labels: found {', '.join(labels)}, but the labels of {kind!r} are always "
            f"{', '.join(HEART_LABELS)}; leave data.labels out"
        )


@dataclass(frozen=True)
class LabeledReader:
    """A way to read a labelled data set: `open(path, phases, labels)`, the `names` of the labels as
    the data say them, the parts that are `expected` of a path and can be read apart, and the
    entries of a folder that nobody reads."""

    open: Callable[[PathLike, Phases, Sequence[str] | None], LabeledSource]
    names: Callable[[PathLike], tuple[str, ...]]
    expected: str
    find: Callable[[Path], Sequence[Path]]
    left_out: Callable[[Path], Sequence[Path]]


def _heart_labels(path: PathLike) -> tuple[str, ...]:
    return HEART_LABELS


ACDC = LabeledReader(
    lambda paths, phases, labels: AcdcSource(paths, phases=phases),
    _heart_labels,
    EXPECTED,
    find_patients,
    left_out_patients,
)
NIFTI_FOLDER = LabeledReader(
    lambda paths, phases, labels: NiftiFolderSource(paths, labels=labels),
    lambda paths: labels_in_folders([Path(folder) for folder in listed(paths)]),
    "folder of images and labels",
    lambda path: [path] if case_folders(path) else [],
    lambda path: [],
)
SUNNYBROOK = LabeledReader(
    lambda paths, phases, labels: SunnybrookSource(paths),
    _heart_labels,
    f"{' or '.join(HDF5)} file",
    lambda path: expand_paths(path, suffixes=HDF5),
    lambda path: [path / n for n in left_out(path, suffixes=HDF5)] if path.is_dir() else [],
)
