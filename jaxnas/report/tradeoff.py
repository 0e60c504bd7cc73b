"""Quality against cost: where every network stands."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxnas.report import style
from jaxnas.report.names import EVERYONE, method_key, row_name
from jaxnas.report.tables import known, mean_of, scaled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Where a label may stand around its point: directions, nearest ring (in points) first.
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
PLACES = tuple((ring * dx, ring * dy) for ring in (7, 18, 30, 44) for dx, dy in DIRECTIONS)


def network_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows over all accelerations and clients that have parameters, MACs and a PSNR."""
    return [
        row
        for row in metrics["rows"]
        if row["acceleration"] == "all"
        and row.get("client", EVERYONE) == EVERYONE
        and row.get("params")
        and row.get("macs")
        and mean_of(row.get("psnr")) is not None
    ]


@style.styled
def draw_tradeoff(metrics: dict[str, Any]) -> "Figure":
    """Mean PSNR against parameters and against MACs, on logarithmic cost axes.

    Networks are named beside their points; methods of federated runs, which share the costs of
    their network, in a legend.
    """
    rows = network_rows(metrics)
    pens = style.pens(method_key(row) for row in rows)
    figure = style.new_figure(9.6, 3.9)
    panels = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.08})
    for axes, cost, name in zip(panels, ("params", "macs"), ("parameters", "MACs per image")):
        points = [(row[cost], mean_of(row["psnr"])) for row in rows]
        for row, (x, y) in zip(rows, points):
            pen = pens[method_key(row)]
            axes.plot(
                x,
                y,
                pen.marker,
                markersize=15 if pen.marker == "*" else 8,
                color=pen.colour,
                markeredgecolor="white",
                markeredgewidth=0.8,
                zorder=3,
                label=row_name(row),
            )
        axes.set(xscale="log", xlabel=f"{name} (less is better)")
        axes.margins(x=0.22, y=0.16)
        _cost_ticks(axes)
    panels[0].set_ylabel("PSNR (dB), all accelerations")
    if any(row.get("strategy") for row in rows):
        handles, names = panels[0].get_legend_handles_labels()
        ncols = style.even_columns(len(names), most=4)
        figure.legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=ncols)
    else:
        for axes, cost in zip(panels, ("params", "macs")):
            points = [(row[cost], known(mean_of(row["psnr"]))) for row in rows]
            place_labels(axes, points, [row_name(row) for row in rows])
    return figure


def place_labels(axes: "Axes", points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Writes each name beside its point, at the first place that covers no other text or point."""
    from matplotlib.transforms import Bbox

    canvas: Any = axes.figure.canvas  # of Agg, see `style.new_figure`
    renderer = canvas.get_renderer()
    half = axes.figure.dpi * 5 / 72
    taken = [
        Bbox.from_bounds(x - half, y - half, 2 * half, 2 * half)
        for x, y in axes.transData.transform(points)
    ]
    frame = axes.get_window_extent(renderer)
    line = {"arrowstyle": "-", "color": style.GREY, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4}
    for point, name in zip(points, names):
        text = axes.annotate(
            name, point, xytext=(0, 0), textcoords="offset points", fontsize=8.5, arrowprops=line
        )

        def covered(place: tuple[int, int], text: Any = text) -> float:
            box = _put(text, place, renderer)
            outside = box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0
            return sum(_common_area(box, other) for other in taken) + 1e6 * outside

        taken.append(_put(text, min(PLACES, key=covered), renderer))


def _put(text: Any, place: tuple[int, int], renderer: Any) -> Any:
    """Moves the text to an offset, aligned away from its point; its new extent in pixels."""
    from matplotlib.text import Text

    dx, dy = place
    text.set_position(place)
    text.set_ha("left" if dx > 0 else "right" if dx < 0 else "center")
    text.set_va("bottom" if dy > 0 else "top" if dy < 0 else "center")
    text.arrow_patch.set_visible(max(abs(dx), abs(dy)) > 7)
    text.update_positions(renderer)
    return Text.get_window_extent(text, renderer)


def _common_area(a: Any, b: Any) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(width, 0.0) * max(height, 0.0)


def _cost_ticks(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1e3 * low else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: "{:g}{}".format(*scaled(v))))
    axes.xaxis.set_minor_formatter(NullFormatter())
