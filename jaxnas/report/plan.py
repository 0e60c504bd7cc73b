"""A figure that a run has the data for, not drawn yet."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Plan(NamedTuple):
    """The report section of a figure, its file name, its caption, and how to draw it."""

    section: str
    name: str
    caption: str
    draw: Callable[[], "Figure"]
