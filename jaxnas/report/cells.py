"""The searched cell as a diagram that reads from left to right.

Every operation is a coloured box on a row of its own, just before the node it feeds, and a node
stands one column after the last node it reads. A tensor on its way to a later column therefore
runs along an empty row, and no box or label is covered whatever the genotype; the number of
columns is the depth of the cell.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxnas.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# All lengths are inches, so that text and boxes keep their proportions in every figure.
ROW, BLOCK_GAP = 0.36, 0.26
BOX_WIDTH, BOX_HEIGHT = 1.32, 0.25
NODE_RADIUS = 0.24
FAN, STUB = 0.75, 0.34
INPUT_WIDTH, INPUT_HEIGHT = 0.62, 0.36
CONCAT_WIDTH = 0.34
MARGIN = 0.06


class Operation(NamedTuple):
    """One box: what it computes, the tensor it reads, its node, and its left centre."""

    name: str
    source: int
    node: int
    x: float
    y: float


class Layout(NamedTuple):
    """Positions in inches; y grows upwards and 0 is the top edge."""

    operations: list[Operation]
    tensors: dict[int, tuple[float, float]]
    concat_x: float
    bottom: float


@style.styled
def draw_cell(nodes: Sequence[Sequence[Sequence[Any]]]) -> "Figure":
    """Draws one cell; `nodes` lists for every node its `[operation, input]` pairs.

    Input 0 is the output of cell l−2, 1 that of cell l−1, 2 + i is node i (drawn as node i + 1).
    Every node sums its operations; the cell concatenates its nodes.
    """
    layout = place(nodes)
    width, height = layout.concat_x + CONCAT_WIDTH + 0.75, -layout.bottom
    figure = style.new_figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(layout.bottom, 0))
    axes.set_axis_off()
    colours = style.operation_colours(op.name for op in layout.operations)
    for op in layout.operations:
        _draw_operation(axes, op, layout.tensors, colours[op.name])
    _draw_tensors(axes, layout)
    return figure


def place(nodes: Sequence[Sequence[Sequence[Any]]]) -> Layout:
    """Gives every operation its own row and every node the column of its depth."""
    operations: list[Operation] = []
    tensors: dict[int, tuple[float, float]] = {}
    step = BOX_WIDTH + STUB + 2 * NODE_RADIUS + FAN
    depths = node_depths(nodes)
    y = 0.0
    for index, edges in enumerate(nodes):
        x = MARGIN + INPUT_WIDTH + FAN + step * depths[index]
        y -= BLOCK_GAP / 2
        first = len(operations)
        # Later nodes enter from above, the two inputs from the left: fewest crossings.
        for name, source in sorted(edges, key=lambda e: (e[1] < 2, -e[1] if e[1] > 1 else e[1])):
            operations.append(Operation(name, source, index, x, y - ROW / 2))
            y -= ROW
        rows = [op.y for op in operations[first:]] or [y - ROW / 2]
        y = min(y, rows[-1] - ROW / 2) - BLOCK_GAP / 2
        tensors[2 + index] = (x + BOX_WIDTH + STUB + NODE_RADIUS, sum(rows) / len(rows))
    for source, shift in ((0, 0.5), (1, -0.5)):
        tensors[source] = (MARGIN + INPUT_WIDTH / 2, y / 2 + shift * max(0.8, -y / 4))
    concat_x = MARGIN + INPUT_WIDTH + FAN + step * (1 + max(depths, default=0))
    return Layout(operations, tensors, concat_x, y)


def node_depths(nodes: Sequence[Sequence[Sequence[Any]]]) -> list[int]:
    """Per node, how many nodes stand before it on the longest way from the inputs."""
    depths: list[int] = []
    for edges in nodes:
        depths.append(
            1 + max((depths[source - 2] for _, source in edges if source > 1), default=-1)
        )
    return depths


def _draw_operation(
    axes: "Axes", op: Operation, tensors: dict[int, tuple[float, float]], colour: str
) -> None:
    from matplotlib.patches import FancyBboxPatch

    x0, y0 = tensors[op.source]
    x0 += INPUT_WIDTH / 2 if op.source < 2 else NODE_RADIUS
    _line(axes, [(x0, y0), (x0 + FAN * 0.8, op.y), (op.x + 0.03, op.y)], colour)
    x1, y1 = tensors[2 + op.node]
    _line(axes, [(op.x + BOX_WIDTH, op.y), (x1 - NODE_RADIUS, y1)], colour, arrow=False)
    skip = op.name == "skip_connect"
    axes.add_patch(
        FancyBboxPatch(
            (op.x + 0.06, op.y - BOX_HEIGHT / 2 + 0.03),
            BOX_WIDTH - 0.12,
            BOX_HEIGHT - 0.06,
            boxstyle="round,pad=0.03,rounding_size=0.09",
            linewidth=1.2,
            edgecolor=colour,
            facecolor="white" if skip else _tint(colour),
            zorder=3,
        )
    )
    axes.text(
        op.x + BOX_WIDTH / 2,
        op.y - 0.008,
        op.name,
        ha="center",
        va="center",
        fontsize=8.5,
        color=style.BLACK,
        zorder=4,
    )


def _line(
    axes: "Axes", points: Sequence[tuple[float, float]], colour: str, *, arrow: bool = True
) -> None:
    """An S-curve between the first two points, then straight on to the others."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    (x0, y0), (x1, y1), *rest = points
    middle = (x0 + x1) / 2
    path = Path(
        [(x0, y0), (middle, y0), (middle, y1), (x1, y1), *rest],
        [Path.MOVETO, *[Path.CURVE4] * 3, *[Path.LINETO] * len(rest)],
    )
    head = "-|>,head_width=2.2,head_length=4.4" if arrow else "-"
    axes.add_patch(
        FancyArrowPatch(
            path=path,
            arrowstyle=head,
            color=colour,
            linewidth=1.4,
            fill=arrow,
            shrinkA=0,
            shrinkB=0,
            zorder=2,
        )
    )


def _draw_tensors(axes: "Axes", layout: Layout) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    bar = (layout.concat_x, layout.bottom + BLOCK_GAP, CONCAT_WIDTH, -layout.bottom - 2 * BLOCK_GAP)
    for index, (x, y) in layout.tensors.items():
        if index < 2:
            axes.add_patch(
                FancyBboxPatch(
                    (x - INPUT_WIDTH / 2 + 0.04, y - INPUT_HEIGHT / 2 + 0.04),
                    INPUT_WIDTH - 0.08,
                    INPUT_HEIGHT - 0.08,
                    boxstyle="round,pad=0.04,rounding_size=0.06",
                    facecolor="#F1F1F1",
                    edgecolor="#555555",
                    linewidth=1.0,
                    zorder=3,
                )
            )
            axes.text(
                x,
                y - 0.01,
                style.input_name(index),
                ha="center",
                va="center",
                fontsize=11,
                zorder=4,
            )
        else:
            _line(axes, [(x + NODE_RADIUS, y), (bar[0], y)], "#9A9A9A")
            axes.add_patch(
                Circle(
                    (x, y),
                    NODE_RADIUS,
                    facecolor="white",
                    edgecolor="#333333",
                    linewidth=1.3,
                    zorder=3,
                )
            )
            axes.text(
                x,
                y - 0.01,
                f"{index - 1}",
                ha="center",
                va="center",
                fontsize=10.5,
                fontweight="bold",
                zorder=4,
            )
    axes.add_patch(
        FancyBboxPatch(
            (bar[0] + 0.04, bar[1] + 0.04),
            bar[2] - 0.08,
            bar[3] - 0.08,
            facecolor="#F1F1F1",
            edgecolor="#555555",
            linewidth=1.0,
            boxstyle="round,pad=0.04,rounding_size=0.06",
            zorder=3,
        )
    )
    middle = layout.bottom / 2
    axes.text(
        bar[0] + CONCAT_WIDTH / 2,
        middle,
        "concatenate",
        rotation=90,
        ha="center",
        va="center",
        fontsize=9,
        zorder=4,
    )
    end = bar[0] + CONCAT_WIDTH
    _line(axes, [(end, middle), (end + 0.32, middle)], "#9A9A9A")
    axes.text(end + 0.42, middle - 0.01, "$C_{l}$", ha="left", va="center", fontsize=11)


def _tint(colour: str) -> tuple[float, ...]:
    """A quarter of `colour` on white: readable under dark text."""
    from matplotlib.colors import to_rgb

    return tuple(1 - 0.22 * (1 - c) for c in to_rgb(colour))
