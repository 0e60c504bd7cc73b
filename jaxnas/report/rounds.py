"""Every client over the rounds: losses of the search, losses and scores of the training."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxnas.report import style
from jaxnas.report.curves import (
    Records,
    few_ticks,
    plain_log_ticks,
    quantity_name,
    readings,
    smooth,
    trained_models,
)
from jaxnas.report.names import SEARCH, SELECT, method_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4
SETTLED = 0.1  # the share of a curve at its end that says who is worst


class Curves(NamedTuple):
    """One panel: rounds and values of the mean and of every client that reported any."""

    title: str
    mean: tuple[np.ndarray, np.ndarray]
    clients: dict[str, tuple[np.ndarray, np.ndarray]]


@style.styled
def draw_losses(panels: Sequence[Curves], clients: Sequence[str]) -> "Figure":
    """A panel per curves on one logarithmic scale; the worst client has the largest loss."""
    return _draw(panels, clients, "loss", worst=max)


@style.styled
def draw_scores(panels: Sequence[Curves], clients: Sequence[str]) -> "Figure":
    """A panel per curves of validation PSNR on one scale; the worst client has the lowest."""
    return _draw(panels, clients, "validation PSNR (dB)", worst=min)


def search_curves(log: Records, clients: Sequence[str]) -> list[Curves]:
    """The training and the validation loss of the supernet, where clients logged them."""
    records = [r for r in log if r.get("stage") == "search"]
    panels = [
        client_curves(title, records, "loss", clients, of=of)
        for title, of in (("training", "train"), ("validation", "valid"))
    ]
    return [panel for panel in panels if panel.clients]


def method_curves(log: Records, quantity: str, clients: Sequence[str], *, of: str) -> list[Curves]:
    """The curves of every trained method whose clients logged the quantity."""
    panels = [
        client_curves(
            method_name(model),
            [r for r in log if r.get("stage") == "train" and r.get("model") == model],
            quantity,
            clients,
            of=of,
        )
        for model in trained_models(log)
    ]
    return [panel for panel in panels if panel.clients]


def client_curves(
    title: str, records: Records, quantity: str, clients: Sequence[str], *, of: str
) -> Curves:
    """The curves of a logged quantity, `of` "train" or "valid"; see `curves.quantity_name`.

    A client has no value at a round that it missed, or whose update was dropped.
    """
    name = quantity_name(records, quantity, of=of)
    own = {client: readings(records, f"{name}/{client}") for client in clients}
    return Curves(title, readings(records, name), {c: v for c, v in own.items() if len(v[0])})


def worst_of(curves: Curves, worst: Callable[..., str]) -> str | None:
    """The client whose mean at the end of its curve is the `worst`, max or min, of all."""

    def end(client: str) -> float:
        values = curves.clients[client][1]
        return float(np.mean(values[-max(1, round(SETTLED * len(values))) :]))

    return worst(curves.clients, key=end, default=None)


def dropped_updates(log: Records) -> dict[str, int]:
    """The number of updates that the search and every method left out because they were not finite.

    A row holds the mean of the rounds since the row before. Candidates of a selection count
    together; the training of the one that was selected goes on after its last rung.
    """
    counts: dict[str, float] = {}
    before: dict[tuple[str, str], int] = {}
    last_rung = max((row["step"] for row in log if row.get("stage") == SELECT), default=0)
    for row in log:
        if "dropped" in row and "model" in row:
            stage, model = row.get("stage", ""), row["model"]
            key = stage if stage in (SEARCH, SELECT) else model
            goes_on = stage == "train" and model.startswith("derived") and row["step"] > last_rung
            start = before.get((stage, model), last_rung if goes_on else 0)
            rounds = row["step"] - start
            counts[key] = counts.get(key, 0.0) + row["dropped"] * rounds
            before[stage, model] = row["step"]
    return {key: round(count) for key, count in counts.items() if round(count)}


def _draw(
    panels: Sequence[Curves],
    clients: Sequence[str],
    quantity: str,
    *,
    worst: Callable[..., str],
) -> "Figure":
    log_scale = worst is max  # losses
    columns = style.even_columns(len(panels), most=_COLUMNS)
    rows = -(-len(panels) // columns)
    width = (2.55 if columns > 2 else 3.9) * columns + 0.65
    height = 2.1 * rows + 0.85
    figure = style.new_figure(width, height)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.7 / width,
        right=0.995,
        top=1 - 0.4 / height,
        bottom=0.8 / height,
        hspace=0.42,
        wspace=0.1,
    )
    colours = style.client_colours(clients)
    limits = _limits([smooth(v) for p in panels for _, v in p.clients.values()], log_scale)
    for index, panel in enumerate(panels):
        axes = figure.add_subplot(grid[index // columns, index % columns], ylim=limits)
        if log_scale:
            axes.set_yscale("log", subs=())
            plain_log_ticks(axes)
        _plot(axes, panel, colours, worst)
        few_ticks(axes)
        bottom = index + columns >= len(panels)
        axes.tick_params(labelleft=index % columns == 0, labelbottom=bottom, length=2.5)
    figure.supxlabel("round", fontsize=9, y=0.38 / height)
    figure.supylabel(quantity, fontsize=9, x=0.04 / width)
    _legend(figure, colours)
    return figure


def _plot(axes: "Axes", panel: Curves, colours: dict[str, str], worst: Callable[..., str]) -> None:
    named = worst_of(panel, worst)
    crowd = style.CROWD in colours.values()
    colours = colours | ({named: style.VERMILLION} if named and crowd else {})
    for client, (steps, values) in panel.clients.items():
        front = 2.5 if client == named else 2
        axes.plot(steps, smooth(values), color=colours[client], linewidth=0.9, zorder=front)
    if len(panel.mean[0]):
        axes.plot(panel.mean[0], smooth(panel.mean[1]), color=style.BLACK, linewidth=2.4)
    axes.set_title(panel.title, loc="left", pad=14, fontweight="bold", fontsize=9)
    place: dict[str, Any] = {"transform": axes.transAxes, "fontsize": 8}
    if named is not None:
        axes.text(0, 1.03, f"worst: {named}", color=colours[named], **place)


def _limits(curves: Sequence[np.ndarray], log_scale: bool) -> tuple[float, float]:
    """Limits around all settled values: the first tenth of a wild start may leave the picture."""
    settled = np.concatenate([values[len(values) // 10 :] for values in curves])
    low, high = float(settled.min()), float(settled.max())
    if log_scale:
        return 0.93 * low, 1.07 * high
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _legend(figure: "Figure", colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=style.BLACK, linewidth=2.4, label="mean")]
    handles += [
        Line2D([], [], color=colour, linewidth=1.4, label=client)
        for client, colour in colours.items()
        if colour != style.CROWD
    ]
    figure.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.3 / figure.get_figheight()),
        ncols=style.even_columns(len(handles)),
    )
