"""From the name of a labelled data set and a path to its volumes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jaxnas.core.errors import UserError
from jaxnas.data.acdc import AcdcSource, find_patients
from jaxnas.data.files import HDF5, Paths, find_files
from jaxnas.data.heart import HeartSource
from jaxnas.data.labeled import LabeledSource, Phases
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
    path: Paths | None,
    *,
    phases: Phases = "all",
    heart: HeartSettings = HeartSettings(),
    seed: int = 0,
) -> LabeledSource:
    """The labelled volumes of data set `kind`, one of KINDS.

    `phases` "all" has every labelled frame, "ed_es" ED and ES only; Sunnybrook has no others.
    `heart` and `seed` are of the embedded hearts, which need no path. UserError for an unknown kind
    and a missing path, and as the readers do.
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
    return READERS[kind](path, phases)


EMBEDDED = "heart"
READERS: dict[str, Callable[[Paths, Phases], LabeledSource]] = {
    "acdc": lambda paths, phases: AcdcSource(paths, phases=phases),
    "sunnybrook": lambda paths, phases: SunnybrookSource(paths),
}
KINDS = (EMBEDDED, *READERS)

# What a data set is checked by: the parts that can be read without the others.
PARTS: dict[str, Callable[[Paths], tuple[Path, ...]]] = {
    "acdc": find_patients,
    "sunnybrook": lambda paths: find_files(paths, suffixes=HDF5),
}
