"""A network of paths on the grid of layers and scales, and how its cells are framed."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxnas.report import style
from jaxnas.report.cells import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYER, SCALE = 0.82, 0.78  # inches
TILE = 0.15
CELL_COLOURS = {"expand": style.BLUE, "keep": style.BLACK, "contract": style.VERMILLION}
CELL_FRAMES = {
    "expand": Frame(("$X_0$",), "1×1 conv\nupsample ×2", "$X$"),
    "keep": Frame(("$X_0$",), "1×1 conv", "$X$"),
    "contract": Frame(("$X_0$",), "max-pool ÷2\n1×1 conv", "$X$"),
}
GridEdge = tuple[int, int, int]  # layer, scale before, scale after


def path_edges(paths: Sequence[Sequence[int]]) -> Counter[GridEdge]:
    """The cells (layer, scale, next scale) of all paths, with how many paths use each."""
    return Counter(
        (layer, scale, following)
        for path in paths
        for layer, (scale, following) in enumerate(itertools.pairwise(path))
    )


@style.styled
def draw_paths(paths: Sequence[Sequence[int]], *, scales: int) -> "Figure":
    """The cells of a network: layers from left to right, scales from fine to coarse.

    Dots are the feature maps at the layers' borders; a line is a cell, its colour the cell's type,
    its width and number how many paths go through it. Faint lines are legal cells that no path
    takes.
    """
    layers = max(map(len, paths)) - 1
    width, height = LAYER * layers + 1.3, SCALE * (scales - 1) + 1.0
    figure = style.new_figure(width, height)
    axes = figure.add_axes(
        (0, 0, 1, 1), xlim=(-0.85, width - 0.85), ylim=(0.62 - height, 0.62), aspect="equal"
    )
    axes.set_axis_off()
    used = path_edges(paths)
    back = all(path[-1] == 0 for path in paths)
    tiles = [
        (layer, scale)
        for layer in range(layers + 1)
        for scale in range(scales)
        if scale <= layer and (scale <= layers - layer or not back)
    ]
    for layer, scale in tiles:
        for following in (scale - 1, scale, scale + 1):
            if (layer + 1, following) in tiles and (layer, scale, following) not in used:
                _edge(axes, (layer, scale, following), style.LIGHT, 0.8)
    for edge, count in used.items():
        _edge(axes, edge, CELL_COLOURS[_kind(edge)], 1.2 + 0.9 * (count - 1))
        _count(axes, edge, count)
    _draw_tiles(axes, tiles, {t for l, s, f in used for t in ((l, s), (l + 1, f))})
    _names(axes, layers, scales)
    _legend(figure, {_kind(edge) for edge in used})
    return figure


def _kind(edge: GridEdge) -> str:
    _, scale, following = edge
    return ("expand", "keep", "contract")[following - scale + 1]


def _place(layer: int, scale: int) -> tuple[float, float]:
    return LAYER * layer, -SCALE * scale


def _edge(axes: "Axes", edge: GridEdge, colour: str, width: float) -> None:
    layer, scale, following = edge
    (x0, y0), (x1, y1) = _place(layer, scale), _place(layer + 1, following)
    axes.plot(
        [x0, x1],
        [y0, y1],
        color=colour,
        linewidth=width,
        solid_capstyle="round",
        zorder=1 if colour == style.LIGHT else 2,
    )


def _count(axes: "Axes", edge: GridEdge, count: int) -> None:
    """Writes how many paths share a cell, a third of the way along, where no other line crosses."""
    if count == 1:
        return
    layer, scale, following = edge
    (x0, y0), (x1, y1) = _place(layer, scale), _place(layer + 1, following)
    axes.text(
        x0 + 0.36 * (x1 - x0),
        y0 + 0.36 * (y1 - y0),
        f"{count}",
        ha="center",
        va="center",
        fontsize=7.5,
        color=CELL_COLOURS[_kind(edge)],
        bbox={"boxstyle": "circle,pad=0.14", "facecolor": "white", "edgecolor": "none"},
        zorder=5,
    )


def _draw_tiles(axes: "Axes", tiles: Sequence[tuple[int, int]], used: set[tuple[int, int]]) -> None:
    from matplotlib.patches import Circle

    for tile in tiles:
        on = tile in used
        axes.add_patch(
            Circle(
                _place(*tile),
                TILE if on else 0.05,
                facecolor="white" if on else "#D5D5D5",
                edgecolor="#333333" if on else "none",
                linewidth=1.2,
                zorder=4,
            )
        )


def _names(axes: "Axes", layers: int, scales: int) -> None:
    soft = {"ha": "center", "va": "center", "fontsize": 8.5, "color": "#555555"}
    for layer in range(layers):
        axes.text(LAYER * (layer + 0.5), 0.42, f"{layer + 1}", **soft)
    axes.text(-0.52, 0.42, "layer", **soft)
    for scale in range(scales):
        axes.text(-0.52, -SCALE * scale, f"1/{2**scale}" if scale else "1", **soft)


def _legend(figure: "Figure", kinds: set[str]) -> None:
    from matplotlib.lines import Line2D

    words = {"expand": "expanding cell", "keep": "non-scaling cell", "contract": "contracting cell"}
    handles = [
        Line2D([], [], color=CELL_COLOURS[kind], linewidth=2, label=words[kind])
        for kind in CELL_COLOURS
        if kind in kinds
    ]
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=3)
