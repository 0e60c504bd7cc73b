"""The traffic between clients and server: the bytes of every method as a table and as bars."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnas.report import style
from jaxnas.report.names import SEARCH, SELECT, entry_name
from jaxnas.report.tables import Column, Table, make_table, scaled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def communication_table(communication: dict[str, Any]) -> Table:
    """The bytes that one client sends and receives in a round, those of all, and of the whole run.

    The last column is the total of the method that sent most over the method's own.
    """
    largest = max((entry["total"] for entry in communication.values()), default=0)

    def read(name: str) -> Callable[[dict[str, Any]], Any]:
        return lambda entry: entry[name] or None

    columns = [
        Column("up", read("up"), short_bytes, None),
        Column("down", read("down"), short_bytes, None),
        Column("clients", read("clients"), "{:g}".format, None),
        Column("bytes", round_bytes, short_bytes, None),
        Column("rounds", read("rounds"), "{:d}".format, None),
        Column("total", read("total"), short_bytes, min),
        Column("less than the largest", lambda e: saving(e, largest), short_ratio, max),
    ]
    return make_table(
        "Bytes between clients and server (–: nothing is sent)",
        "Method",
        [entry_name(key) for key in communication],
        list(communication.values()),
        columns,
        groups=(("", 1), ("one client and round", 2), ("one round", 2), ("the whole run", 3)),
    )


@style.styled
def draw_traffic(communication: dict[str, Any]) -> "Figure":
    """A bar per method on a logarithmic axis: all bytes of the run, and the ratio to the largest.

    What all searched networks need once, the search and the selection, is hatched.
    """
    totals = {key: entry["total"] for key, entry in communication.items()}
    sent = [total for total in totals.values() if total] or [1]
    pens = style.pens(key for key in totals if key not in (SEARCH, SELECT))
    height = 0.36 * len(totals)
    figure = style.new_figure(9.6, height + 0.6)
    axes = figure.add_axes((0.25, 0.55 / (height + 0.6), 0.73, height / (height + 0.6)))
    low, high = 10 ** np.floor(np.log10(min(sent)) - 0.2), max(sent)
    right = max(high * (high / low) ** 0.3, 1.1 * 10 ** np.ceil(np.log10(high)))  # room for text
    axes.set(xscale="log", xlim=(low, right), ylim=(len(totals) - 0.4, -0.6))
    for row, (key, total) in enumerate(totals.items()):
        searching = key in (SEARCH, SELECT)
        axes.barh(
            row,
            max(total - low, 0),
            left=low,
            height=0.64,
            color="white" if searching else pens[key].colour,
            edgecolor=style.GREY if searching else pens[key].colour,
            hatch="////" if searching else None,
            alpha=0.9,
        )
        text = _label(total, high, alone=len(sent) == 1)
        axes.annotate(
            text,
            (max(total, low), row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=style.BLACK if total else style.GREY,
        )
    axes.set_yticks(range(len(totals)), [entry_name(key) for key in totals])
    axes.set_xlabel("bytes of the whole run, all clients, both directions")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    _byte_ticks(axes)
    return figure


def round_bytes(entry: dict[str, Any]) -> float | None:
    """Bytes that all clients of a round send and receive; None where it is nothing."""
    return entry["clients"] * (entry["up"] + entry["down"]) or None


def saving(entry: dict[str, Any], largest: float) -> float | None:
    """The ratio of the `largest` total to the entry's own; None where nothing is sent."""
    return largest / entry["total"] if entry["total"] else None


def short_bytes(count: float) -> str:
    """Bytes with three significant digits in decimal units."""
    number, unit = _in_units(count)
    return f"{_three_digits(number)} {unit}"


def short_ratio(ratio: float) -> str:
    """A ratio with three significant digits and the sign for times."""
    return f"{_three_digits(ratio)}×"


def _in_units(count: float) -> tuple[float, str]:
    number, letter = scaled(count)
    return number, f"{letter.replace('K', 'k')}B"


def _three_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:#.3g}"


def _label(total: float, largest: float, *, alone: bool) -> str:
    if not total:
        return "nothing is sent"
    ratio = "the most" if total == largest else f"{short_ratio(largest / total)} less"
    return short_bytes(total) if alone else f"{short_bytes(total)}, {ratio}"


def _byte_ticks(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(numticks=9))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: "{:g} {}".format(*_in_units(v))))
    axes.xaxis.set_minor_formatter(NullFormatter())
