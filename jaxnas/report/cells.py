"""The searched cell as a diagram that reads from left to right.

Every operation is a coloured box on a row of its own, just before the node it feeds, and a node
stands one column after the last node it reads. A tensor on its way to a later column therefore
runs along an empty row, and no box or label is covered whatever the genotype; the number of
columns is the depth of the cell.

An edge with several operations is one grey line that branches in front of their boxes.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from jaxnas.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# All lengths are inches, so that text and boxes keep their proportions in every figure.
ROW, BLOCK_GAP = 0.36, 0.26
BOX_WIDTH, BOX_HEIGHT, SHARE_WIDTH = 1.32, 0.25, 0.3
NODE_RADIUS = 0.24
FAN, STUB, BRANCH = 0.75, 0.34, 0.3
INPUT_WIDTH, INPUT_HEIGHT = 0.62, 0.36
CONCAT_WIDTH = 0.34
AFTER_WIDTH, AFTER_HEIGHT = 1.02, 0.62
_MARGIN = 0.06
TRUNK = "#6E6E6E"


class Frame(NamedTuple):
    """The connections of a cell: its inputs, how nodes are joined, what follows, and its output.

    A cell that concatenates joins all its nodes, one that adds those that no node reads.
    """

    inputs: tuple[str, ...] = ("$C_{l-2}$", "$C_{l-1}$")
    after: str | None = None
    output: str = "$C_{l}$"
    joined: Literal["concatenate", "add"] = "concatenate"


TWO_INPUT_FRAME = Frame()
TREE_FRAME = Frame(("$h$",), None, "$h$", "add")
TREE_SPACE = "unrolled"


class DrawnOperation(NamedTuple):
    """One box: what it computes, the tensor it reads, its node, its left centre, its weight."""

    name: str
    source: int
    node: int
    x: float
    y: float
    share: float | None = None


class CellLayout(NamedTuple):
    """Positions in inches; y grows upwards and 0 is the top edge.

    Tensors are numbered as in the genotype: first the `inputs` inputs, then the nodes.
    """

    inputs: int
    operations: list[DrawnOperation]
    tensors: dict[int, tuple[float, float]]
    concat_x: float
    bottom: float
    box: float


@style.styled
def draw_cell(
    nodes: Sequence[Sequence[Sequence[Any]]], *, weights: Any = None, frame: Frame = TWO_INPUT_FRAME
) -> "Figure":
    """Draws one cell; `nodes` lists for every node its `[operation, input]` pairs.

    Inputs are numbered from 0, the inputs of the cell first and then its nodes. Every node sums its
    operations; `frame` says how the cell joins its nodes. `weights`, nested like `nodes` with a
    number per pair, are written into the boxes.
    """
    layout = place_cell(nodes, weights=weights, inputs=len(frame.inputs))
    after = 0.0 if frame.after is None else AFTER_WIDTH + 0.42
    width, height = layout.concat_x + CONCAT_WIDTH + after + 0.75, -layout.bottom
    figure = style.new_figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(layout.bottom, 0))
    axes.set_axis_off()
    colours = style.operation_colours(op.name for op in layout.operations)
    for _, edge in itertools.groupby(layout.operations, lambda op: (op.node, op.source)):
        _draw_edge(axes, list(edge), layout, colours)
    for op in layout.operations:
        _draw_operation(axes, op, layout, colours[op.name])
    _draw_tensors(axes, layout, frame)
    _draw_output(axes, layout, frame)
    return figure


def place_cell(
    nodes: Sequence[Sequence[Sequence[Any]]], *, weights: Any = None, inputs: int = 2
) -> CellLayout:
    """Gives every operation its own row and every node the column of its depth."""
    operations: list[DrawnOperation] = []
    tensors: dict[int, tuple[float, float]] = {}
    box = BOX_WIDTH + (SHARE_WIDTH if weights else 0)
    step = box + STUB + 2 * NODE_RADIUS + FAN
    depths = node_depths(nodes, inputs=inputs)
    y = 0.0
    for index, edges in enumerate(nodes):
        x = _MARGIN + INPUT_WIDTH + FAN + step * depths[index]
        y -= BLOCK_GAP / 2
        first = len(operations)
        shares = weights[index] if weights else [None] * len(edges)
        # Later nodes enter from above, the inputs from the left: fewest crossings.
        for (name, source), share in sorted(
            zip(edges, shares), key=lambda e: _order(e[0][1], inputs)
        ):
            operations.append(DrawnOperation(name, source, index, x, y - ROW / 2, share))
            y -= ROW
        rows = [op.y for op in operations[first:]] or [y - ROW / 2]
        y = min(y, rows[-1] - ROW / 2) - BLOCK_GAP / 2
        tensors[inputs + index] = (x + box + STUB + NODE_RADIUS, sum(rows) / len(rows))
    for source in range(inputs):
        shift = (inputs - 1) / 2 - source
        tensors[source] = (_MARGIN + INPUT_WIDTH / 2, y / 2 + shift * max(0.8, -y / 4))
    concat_x = _MARGIN + INPUT_WIDTH + FAN + step * (1 + max(depths, default=0))
    return CellLayout(inputs, operations, tensors, concat_x, y, box)


def node_depths(nodes: Sequence[Sequence[Sequence[Any]]], *, inputs: int = 2) -> list[int]:
    """The number of nodes that stand before each node on the longest way from the inputs."""
    depths: list[int] = []
    for edges in nodes:
        before = [depths[source - inputs] for _, source in edges if source >= inputs]
        depths.append(1 + max(before, default=-1))
    return depths


def _order(source: int, inputs: int) -> tuple[bool, int]:
    return source < inputs, -source if source >= inputs else source


def _draw_edge(
    axes: "Axes", edge: Sequence[DrawnOperation], layout: CellLayout, colours: dict[str, str]
) -> None:
    """The line from a tensor to the boxes of the operations that read it for one node."""
    x, y = layout.tensors[edge[0].source]
    x += INPUT_WIDTH / 2 if edge[0].source < layout.inputs else NODE_RADIUS
    if len(edge) == 1:
        (op,) = edge
        _line(axes, [(x, y), (x + FAN * 0.8, op.y), (op.x + 0.03, op.y)], colours[op.name])
        return
    fork = (edge[0].x - BRANCH, sum(op.y for op in edge) / len(edge))
    _line(axes, [(x, y), (x + FAN - BRANCH, fork[1]), fork], TRUNK, arrow=False)
    for op in edge:
        _line(axes, [fork, (op.x - 0.08, op.y), (op.x + 0.03, op.y)], colours[op.name])


def _draw_operation(axes: "Axes", op: DrawnOperation, layout: CellLayout, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    x1, y1 = layout.tensors[layout.inputs + op.node]
    _line(axes, [(op.x + layout.box, op.y), (x1 - NODE_RADIUS, y1)], colour, arrow=False)
    skip = op.name == "skip_connect"
    axes.add_patch(
        FancyBboxPatch(
            (op.x + 0.06, op.y - BOX_HEIGHT / 2 + 0.03),
            layout.box - 0.12,
            BOX_HEIGHT - 0.06,
            boxstyle="round,pad=0.03,rounding_size=0.09",
            linewidth=1.2,
            edgecolor=colour,
            facecolor="white" if skip else _tint(colour),
            zorder=3,
        )
    )
    label = {"va": "center", "color": style.BLACK, "zorder": 4}
    middle = op.x + BOX_WIDTH / 2
    axes.text(middle, op.y - 0.008, op.name, ha="center", fontsize=8.5, **label)
    if op.share is not None:
        right = op.x + layout.box - 0.1
        axes.text(right, op.y - 0.008, f"{op.share:.2f}", ha="right", fontsize=8, **label)


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


def _draw_tensors(axes: "Axes", layout: CellLayout, frame: Frame) -> None:
    from matplotlib.patches import Circle

    read = {op.source for op in layout.operations}
    for index, (x, y) in layout.tensors.items():
        if index < layout.inputs:
            corner = (x - INPUT_WIDTH / 2, y - INPUT_HEIGHT / 2)
            _grey_box(axes, *corner, INPUT_WIDTH, INPUT_HEIGHT)
            _write(axes, x, y, frame.inputs[index], size=11)
        else:
            if frame.joined == "concatenate" or index not in read:
                _line(axes, [(x + NODE_RADIUS, y), (layout.concat_x, y)], "#9A9A9A")
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
            _write(axes, x, y, f"{index - layout.inputs + 1}", size=10.5, weight="bold")


def _draw_output(axes: "Axes", layout: CellLayout, frame: Frame) -> None:
    """The joining of the nodes, what follows it, and the name of the result."""
    x, middle = layout.concat_x, layout.bottom / 2
    _grey_box(axes, x, layout.bottom + BLOCK_GAP, CONCAT_WIDTH, -layout.bottom - 2 * BLOCK_GAP)
    _write(axes, x + CONCAT_WIDTH / 2, middle + 0.01, frame.joined, size=9, rotation=90)
    end = x + CONCAT_WIDTH
    if frame.after is not None:
        _line(axes, [(end, middle), (end + 0.42, middle)], "#9A9A9A")
        end += 0.42
        _grey_box(axes, end, middle - AFTER_HEIGHT / 2, AFTER_WIDTH, AFTER_HEIGHT)
        _write(axes, end + AFTER_WIDTH / 2, middle, frame.after, size=8.5)
        end += AFTER_WIDTH
    _line(axes, [(end, middle), (end + 0.32, middle)], "#9A9A9A")
    axes.text(end + 0.42, middle - 0.01, frame.output, ha="left", va="center", fontsize=11)


def _grey_box(axes: "Axes", x: float, y: float, width: float, height: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (x + 0.04, y + 0.04),
            width - 0.08,
            height - 0.08,
            boxstyle="round,pad=0.04,rounding_size=0.06",
            facecolor="#F1F1F1",
            edgecolor="#555555",
            linewidth=1.0,
            zorder=3,
        )
    )


def _write(
    axes: "Axes",
    x: float,
    y: float,
    text: str,
    *,
    size: float,
    weight: str = "normal",
    rotation: float = 0,
) -> None:
    axes.text(
        x,
        y - 0.01,
        text,
        ha="center",
        va="center",
        fontsize=size,
        fontweight=weight,
        rotation=rotation,
        zorder=4,
    )


def _tint(colour: str) -> tuple[float, ...]:
    """A quarter of `colour` on white: readable under dark text."""
    from matplotlib.colors import to_rgb

    return tuple(1 - 0.22 * (1 - c) for c in to_rgb(colour))
