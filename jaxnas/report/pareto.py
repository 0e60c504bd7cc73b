"""Fig. 2 of RT-DNAS: Dice against latency and against throughput, and who is not dominated."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxnas.report import style
from jaxnas.report.overlaps import (
    Row,
    class_names,
    class_title,
    dice_of,
    is_found,
    is_random,
    is_searched,
    is_valid,
    latency_of,
    limits_of,
    network_name,
    throughput_of,
)
from jaxnas.report.tables import known
from jaxnas.report.tradeoff import place_labels
from jaxnas.search.registry import DECODERS

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECODER_PENS = {
    "dijkstra": ("s", style.BLUE, 8),
    "ga": ("*", style.VERMILLION, 15),
    "exhaustive": ("P", style.PURPLE, 9),
    "constrained": ("D", style.GREEN, 8),
}
FOUND, BASELINE = ("p", style.ORANGE, 9), ("o", style.BLACK, 8)
REGION, FRONT = "#DFF1E9", "#5FA88A"
FAR = 3.0  # a limit beyond so many times the last point is only mentioned
_MOST_NAMED = 4  # classes on an axis
_WIDE = 8.0  # points further apart than this factor need a logarithmic axis


def timed_rows(metrics: dict[str, Any]) -> list[Row]:
    """The rows with a Dice, a latency and a throughput."""
    return [
        row
        for row in metrics["rows"]
        if None not in (dice_of(row), latency_of(row), throughput_of(row))
    ]


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Positions of the (cost, gain) that no other point beats, by rising cost.

    A point is beaten by one that costs no more and gains no less, and is better in one of both; of
    equal points the first one counts.
    """
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if not front or points[i][1] > points[front[-1]][1]:
            front.append(i)
    return front


@style.styled
def draw_pareto(metrics: dict[str, Any]) -> "Figure":
    """Mean Dice against latency (left) and throughput (right).

    The region in which a network keeps that limit is shaded; the line is the Pareto front of the
    networks that keep both. Random architectures are grey.
    """
    rows, limits = timed_rows(metrics), limits_of(metrics)
    figure = style.new_figure(10.2, 4.3)
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.07})
    latencies = [known(latency_of(row)) for row in rows]
    rates = [known(throughput_of(row)) for row in rows]
    lines = [
        _draw_panel(left, rows, latencies, limits, fast=-1),
        _draw_panel(right, rows, rates, limits, fast=+1),
    ]
    left.set(xlabel="latency of a frame, median (ms)", ylabel=f"Dice, {_mean_of(metrics)}")
    right.set(xlabel="throughput (frames per second)")
    _limit(left, limits["latency_ms"], latencies, "{:g} ms", fast=-1)
    _limit(right, limits["throughput_fps"], rates, "{:g} FPS", fast=+1)
    for axes, values in ((left, latencies), (right, rates)):
        named = [(x, row) for x, row in zip(values, rows) if not is_random(row)]
        points = [(x, known(dice_of(row))) for x, row in named]
        place_labels(axes, points, [_label(row) for _, row in named])
    _legend(figure, rows, front=any(lines))
    return figure


def _draw_panel(
    axes: "Axes", rows: Sequence[Row], values: Sequence[float], limits: dict[str, float], fast: int
) -> bool:
    """The points and the front, if it is more than a point; returns whether it is.

    `fast` is the sign of the direction in which networks are fast.
    """
    for x, row in zip(values, rows):
        if is_random(row):
            axes.plot(x, known(dice_of(row)), "o", color=style.CROWD, markersize=4, zorder=2)
        else:
            marker, colour, size = _pen(row)
            look: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.8, "zorder": 4}
            axes.plot(x, known(dice_of(row)), marker, color=colour, markersize=size, **look)
    valid = [
        (-fast * x, known(dice_of(row))) for x, row in zip(values, rows) if is_valid(row, limits)
    ]
    front = [valid[i] for i in pareto_front(valid)]
    if len(front) > 1:
        x, y = [-fast * cost for cost, _ in front], [gain for _, gain in front]
        axes.plot(x, y, drawstyle="steps-post", color=FRONT, linewidth=1.6, zorder=3)
    if max(values) > _WIDE * min(values):
        axes.set_xscale("log")
    axes.margins(x=0.14, y=0.14)
    return len(front) > 1


def _mean_of(metrics: dict[str, Any]) -> str:
    """The classes that a mean is over: `mean of RV, MYO and LV`, or their number if many."""
    names = [class_title(name) for name in class_names(metrics)]
    if len(names) == 1:
        return names[0]
    if not 0 < len(names) <= _MOST_NAMED:
        return f"mean of {len(names) or 'all'} classes"
    return f"mean of {', '.join(names[:-1])} and {names[-1]}"


def _limit(axes: "Axes", limit: float, values: Sequence[float], text: str, *, fast: int) -> None:
    """Shades the side of the limit on which networks keep it; a limit far away shades everything
    or nothing and is named at the edge."""
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    if max(values) / FAR <= limit <= FAR * min(values) or min(values) <= limit <= max(values):
        span = [*values, limit]
        pad = 0.08 * (max(span) - min(span)) if axes.get_xscale() == "linear" else 0.0
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, min(span) - pad), max(high, max(span) + pad))
    low, high = axes.get_xlim()
    edge = min(max(limit, low), high)
    axes.axvspan(*((low, edge) if fast < 0 else (edge, high)), color=REGION, zorder=0, lw=0)
    if low < limit < high:
        axes.axvline(limit, color=FRONT, linewidth=1.0, linestyle="--", zorder=1)
        words = text.format(limit)
    elif limit >= high:
        words = f"limit {text.format(limit)} →"
    else:
        words = f"← limit {text.format(limit)}"
    x = edge
    side = "right" if x > low + 0.5 * (high - low) else "left"
    offset = -4 if side == "right" else 4
    axes.annotate(
        words,
        (x, 0),
        xycoords=("data", "axes fraction"),
        xytext=(offset, 6),
        textcoords="offset points",
        ha=side,
        fontsize=8,
        color="#33705A",
    )
    axes.set_xlim(low, high)
    if axes.get_xscale() == "log":
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())


def _pen(row: Row) -> tuple[str, str, int]:
    if is_searched(row):
        return DECODER_PENS[row["decoder"]]
    return FOUND if is_found(row) else BASELINE


def _legend(figure: "Figure", rows: Sequence[Row], *, front: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def dot(marker: str, colour: str, size: float, name: str) -> Line2D:
        return Line2D(
            [], [], marker=marker, color=colour, linestyle="", markersize=size, label=name
        )

    decoders = dict.fromkeys(row["decoder"] for row in rows if is_searched(row))
    handles: list[Artist] = [
        dot(*DECODER_PENS[d], f"searched, {DECODERS.title(d)}") for d in decoders
    ]
    pens = [_pen(row) for row in rows if not is_random(row)]
    if FOUND in pens:
        handles.append(dot(*FOUND, "searched"))
    if BASELINE in pens:
        handles.append(dot(*BASELINE, "baseline"))
    if any(is_random(row) for row in rows):
        handles.append(dot("o", style.CROWD, 4, "random architecture"))
    if front:
        label = "Pareto front of the valid"
        handles.append(Line2D([], [], color=FRONT, linewidth=1.6, label=label))
    handles.append(Patch(color=REGION, label="within the limit"))
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4)


def _label(row: Row) -> str:
    """The name of a baseline; of a searched network only what its marker does not say."""
    name = network_name(row)
    return name.partition("(")[2].rstrip(")") or name if is_searched(row) else name
