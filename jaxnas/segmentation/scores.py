"""The scores of one network on one volume, class by class."""

from collections.abc import Mapping
from typing import NamedTuple


class ClassScore(NamedTuple):
    """One class in one volume: Dice, 95 % Hausdorff distance in mm, volumes in ml.

    Dice is NaN where neither side has the class, the distance where one of them lacks it.
    """

    dice: float
    hd95: float
    ml: float
    truth_ml: float


class OverlapScore(NamedTuple):
    """One volume by one network; `classes` holds a ClassScore per class that the truth knows.

    `fold` is the fold that the network was trained on, None without cross-validation.
    """

    model: str
    volume: str
    patient: str
    phase: str
    group: str | None
    classes: Mapping[str, ClassScore]
    fold: int | None = None


def significant(value: float) -> float:
    """A number as files state it: seven significant digits."""
    return float(f"{value:.7g}")
