"""The weights of every edge and operation over the rounds of a search, as heat maps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnas.report import style
from jaxnas.report.curves import few_ticks, weight_history

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure

# Inches.
PANEL, ROW = 2.1, 0.165
LEFT, RIGHT, TOP, BOTTOM, GAP = 1.15, 0.1, 0.3, 0.5, 0.36
COLOURS = "RdBu_r"
_LEAST = 0.25  # of the undecided weight: smaller changes stay pale


@style.styled
def draw_weight_maps(alphas: dict[str, Any], cell: str, *, chosen: Any = None) -> "Figure":
    """One map per edge: operations from top to bottom, rounds from left to right, one scale.

    White is undecided, 1/K of K operations; red has gained on it, blue has lost. Maps stand in rows
    of nodes and columns of their inputs. `chosen` is the genotype of the cell, a list of
    `[operation, input]` per node: its operations are framed.
    """
    steps, weights = weight_history(alphas, cell)
    edges, operations = alphas["cells"][cell], alphas["operations"]
    inputs = sum(node == 0 for node, _ in edges)  # the first node has no other
    rows = 1 + max(node for node, _ in edges)
    columns = 1 + max(source for _, source in edges)
    tall = ROW * len(operations)
    width = LEFT + columns * PANEL + (columns - 1) * 0.12 + RIGHT
    height = TOP + rows * tall + (rows - 1) * GAP + BOTTOM
    figure = style.new_figure(width, height)
    scale, image = _scale(weights), None
    for (node, source), table in zip(edges, weights.swapaxes(0, 1)):
        x, y = LEFT + source * (PANEL + 0.12), height - TOP - (node + 1) * tall - node * GAP
        axes = figure.add_axes((x / width, y / height, PANEL / width, tall / height))
        image = axes.pcolormesh(
            _borders(steps),
            np.arange(len(operations) + 1),
            table.T,
            cmap=COLOURS,
            norm=scale,
        )
        _finish(axes, operations, label=source == 0, lowest=_below(node, source, edges))
        name = style.input_name(source, inputs=inputs)
        axes.set_title(f"{name} → node {node + 1}", loc="left", pad=4)
        for name in {name for name, i in (chosen[node] if chosen else ()) if i == source}:
            _frame(axes, operations.index(name))
    _colour_bar(figure, image, edges)
    return figure


def _scale(weights: np.ndarray) -> "TwoSlopeNorm":
    """White at 1/K; the strongest and the weakest weight at either end."""
    from matplotlib.colors import TwoSlopeNorm

    middle = 1 / weights.shape[-1]
    low = min(float(weights.min()), (1 - _LEAST) * middle)
    return TwoSlopeNorm(middle, low, max(float(weights.max()), (1 + _LEAST) * middle))


def _finish(axes: "Axes", operations: Sequence[str], *, label: bool, lowest: bool) -> None:
    axes.set_ylim(len(operations), 0)
    axes.set_yticks(
        np.arange(len(operations)) + 0.5, operations if label else [""] * len(operations)
    )
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.tick_params(axis="x", length=2.5, labelbottom=lowest)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    few_ticks(axes)
    if lowest:
        axes.set_xlabel("round", labelpad=1)
    for row in range(1, len(operations)):
        axes.axhline(row, color=style.LIGHT, linewidth=0.6)


def _frame(axes: "Axes", row: int) -> None:
    from matplotlib.patches import Rectangle

    low, high = axes.get_xlim()
    axes.add_patch(
        Rectangle(
            (low, row),
            high - low,
            1,
            fill=False,
            edgecolor=style.BLACK,
            linewidth=1.5,
            clip_on=False,
            zorder=3,
        )
    )


def _below(node: int, source: int, edges: Sequence[Sequence[int]]) -> bool:
    """True if no map stands under this one."""
    return node == max(n for n, s in edges if s == source)


def _borders(steps: np.ndarray) -> np.ndarray:
    """The borders (T + 1,) between records at steps (T,): half-way between two of them."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middles = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[2 * steps[0] - middles[0]], middles, [2 * steps[-1] - middles[-1]]])


def _colour_bar(figure: "Figure", image: Any, edges: Sequence[Sequence[int]]) -> None:
    """The colour bar in the empty corner at the top right: the first node has the fewest inputs."""
    width, height = figure.get_figwidth(), figure.get_figheight()
    first = 1 + max(source for node, source in edges if node == 0)
    x = LEFT + first * (PANEL + 0.12) + 0.35
    bar = figure.add_axes((x / width, (height - TOP - 0.32) / height, 1.6 / width, 0.14 / height))
    norm = image.norm
    ticks = [norm.vmin, norm.vcenter, norm.vmax]
    scale = figure.colorbar(image, cax=bar, orientation="horizontal", ticks=ticks)
    scale.ax.set_xticklabels([f"{tick:.3f}" for tick in ticks])
    scale.outline.set_visible(False)
    bar.set_title("weight (white: undecided); framed: kept", fontsize=8.5, loc="left", pad=4)
    bar.grid(False)
