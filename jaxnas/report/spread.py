"""The spread of clients: the PSNR of every method at every client."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnas.report import style
from jaxnas.report.federated import ReportedMethod, methods_of
from jaxnas.report.names import EVERYONE, UNTRAINED, method_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.36  # inches


def scored_methods(metrics: dict[str, Any]) -> list[ReportedMethod]:
    """The methods with a PSNR at any client, over all accelerations."""
    return [method for method in methods_of(metrics) if method.scores("psnr")]


@style.styled
def draw_spread(metrics: dict[str, Any], clients: Sequence[str]) -> "Figure":
    """Left: PSNR of every method (rows) at every client (dots) and over all slices (tick).

    Right: the same less what the trained methods reach at that client on average. That takes out
    how hard the data of a client are and leaves who gains and who loses by a method.
    """
    methods = scored_methods(metrics)
    trained = [m for m in methods if m.key not in UNTRAINED]
    colours = style.client_colours(clients)
    height = ROW * len(methods)
    total = height + 1.15
    figure = style.new_figure(10.4, total)
    left = figure.add_axes((0.215, 0.8 / total, 0.39, height / total))
    right = figure.add_axes((0.655, 0.8 / total, 0.335, height / total))
    for row, method in enumerate(methods):
        _plot(left, row, method.scores("psnr"), colours, everyone=method.score(EVERYONE, "psnr"))
        if method in trained:
            _plot(right, row, _relative(method, trained), colours, everyone=None)
    right.axvline(0, color=style.BLACK, linewidth=0.9, zorder=1)
    left.set(title="PSNR (dB)")
    right.set(title="PSNR less the client's mean over methods (dB)")
    for axes in (left, right):
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.set_yticks(range(len(methods)), [method_name(m.key) for m in methods])
        axes.tick_params(axis="y", length=0, labelleft=axes is left)
        axes.grid(axis="y", visible=False)
    _legend(figure, colours)
    return figure


def _relative(method: ReportedMethod, trained: Sequence[ReportedMethod]) -> dict[str, float]:
    """A method's PSNR by client, less the mean of the trained methods there."""
    others = [m.scores("psnr") for m in trained]
    return {
        client: value - float(np.mean([scores[client] for scores in others if client in scores]))
        for client, value in method.scores("psnr").items()
    }


def _plot(
    axes: "Axes",
    row: int,
    scores: dict[str, float],
    colours: dict[str, str],
    *,
    everyone: float | None,
) -> None:
    """One row of dots; the lowest of a crowd is marked and named."""
    low, high = min(scores.values()), max(scores.values())
    line = {"color": style.LIGHT, "linewidth": 4, "solid_capstyle": "round", "zorder": 1}
    axes.plot([low, high], [row, row], **line)
    if everyone is not None:
        tick = {"color": style.BLACK, "markersize": 13, "markeredgewidth": 2}
        axes.plot(everyone, row, "|", zorder=4, **tick)
    dot = {"markeredgecolor": "white", "markeredgewidth": 0.7, "markersize": 7.5}
    for client, score in scores.items():
        axes.plot(score, row, "o", color=colours[client], zorder=3, **dot)
    if style.CROWD in colours.values():
        lowest = min(scores, key=scores.__getitem__)
        axes.plot(low, row, "o", color=style.VERMILLION, zorder=3, **dot)
        place = {"xytext": (-4, 4.5), "textcoords": "offset points", "va": "bottom"}
        axes.annotate(lowest, (low, row), fontsize=7.5, color=style.VERMILLION, **place)


def _legend(figure: "Figure", colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    mark = {"linestyle": "", "markersize": 7.5}
    handles = [
        Line2D([], [], marker="|", color=style.BLACK, markeredgewidth=2, label="all slices", **mark)
    ]
    handles += [
        Line2D([], [], marker="o", color=colour, label=client, **mark)
        for client, colour in colours.items()
        if colour != style.CROWD
    ]
    figure.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.42 / figure.get_figheight()),
        ncols=style.even_columns(len(handles)),
    )
