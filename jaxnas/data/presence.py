"""The classes in the labels of a set of volumes: what is absent is neither learned nor scored.

`present` is, of every volume, the labels that at least one of its pixels has.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.notices import warn


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
