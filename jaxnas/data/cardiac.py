"""The volumes of a labelled data set, by its name and a path."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxnas.core.errors import UserError
from jaxnas.core.notices import warn
from jaxnas.data.acdc import AcdcSource
from jaxnas.data.annotation import LabeledSource, Phases
from jaxnas.data.files import HDF5, PathLike, expand_paths, left_out
from jaxnas.data.heart import HeartSource
from jaxnas.data.patients import EXPECTED, find_patients, left_out_patients
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
    heart: HeartSettings = HeartSettings(),
    seed: int = 0,
) -> LabeledSource:
    """The labelled volumes of data set `kind`, one of KINDS.

    `phases` "all" has every labelled frame, "ed_es" ED and ES only; Sunnybrook has no others.
    `heart` and `seed` are of the embedded hearts, which need no path. UserError for an unknown kind
    and a missing path, and as the readers do. Warns of what a reader remarks.
    """
    if kind not in KINDS:
        raise UserError(
            f"no labelled data set is called {kind!r}; expected one of {', '.join(KINDS)}, name "
            "one of them"
        )
    if kind == EMBEDDED:
        return HeartSource(
            patients=heart.patients,
            slices=heart.slices,
            size=heart.size,
            frames=heart.frames,
            phases=phases,
            seed=seed,
        )
    if not path:
        raise UserError(
            f"no path is given for the data set {kind!r}; expected the folder or file that holds "
            "it, set the data path"
        )
    source = LABELED_READERS[kind](path, phases)
    for remark in getattr(source, "remarks", ()):
        warn(remark)
    return source


EMBEDDED = "heart"
LABELED_READERS: dict[str, Callable[[PathLike, Phases], LabeledSource]] = {
    "acdc": lambda paths, phases: AcdcSource(paths, phases=phases),
    "sunnybrook": lambda paths, phases: SunnybrookSource(paths),
}
KINDS = (EMBEDDED, *LABELED_READERS)


@dataclass(frozen=True)
class Parts:
    """The parts a data set is checked by: those `expected` of a path, which can be read apart, and
    the entries of a folder that nobody reads."""

    expected: str
    find: Callable[[Path], Sequence[Path]]
    left_out: Callable[[Path], Sequence[Path]]


PARTS = {
    "acdc": Parts(EXPECTED, find_patients, left_out_patients),
    "sunnybrook": Parts(
        f"{' or '.join(HDF5)} file",
        lambda path: expand_paths(path, suffixes=HDF5),
        lambda path: [path / n for n in left_out(path, suffixes=HDF5)] if path.is_dir() else [],
    ),
}
