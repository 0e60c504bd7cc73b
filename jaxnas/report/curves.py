"""Curves over the steps: architecture weights, the search, and training."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnas.report import style
from jaxnas.report.names import method_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Records = Sequence[dict[str, Any]]
COARSE, FINE = (1, 2, 5), (1, 1.5, 2, 3, 5, 7)


@style.styled
def draw_alphas(alphas: dict[str, Any], cell: str, *, chosen: Any = None) -> "Figure":
    """The softmaxed weight of every operation over the steps, one small panel per edge.

    Rows are nodes and columns their inputs. `chosen` is the genotype of the cell, a list of
    `[operation, input]` per node: its operations are drawn thick and named in the panel title.
    """
    steps, weights = weight_history(alphas, cell)
    edges, operations = alphas["cells"][cell], alphas["operations"]
    inputs = sum(node == 0 for node, _ in edges)  # the first node has no other
    rows = 1 + max(node for node, _ in edges)
    columns = 1 + max(source for _, source in edges)
    figure = style.new_figure(1.95 * columns + 0.5, 1.6 * rows + 0.75)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.6 / (1.95 * columns + 0.5),
        right=0.99,
        top=0.93,
        bottom=0.85 / (1.6 * rows + 0.75),
        hspace=0.42,
        wspace=0.12,
    )
    colours = style.operation_colours(operations)
    top = min(1.0, 1.08 * float(weights.max()))
    for (node, source), p in zip(edges, weights.swapaxes(0, 1)):
        kept = [name for name, i in (chosen[node] if chosen else ()) if i == source]
        axes = figure.add_subplot(grid[node, source], ylim=(0, top), xlim=_span(steps))
        for index, name in enumerate(operations):
            axes.plot(
                steps,
                p[:, index],
                color=colours[name],
                linewidth=2.4 if name in kept else 1.1,
                linestyle="--" if name == "none" else "-",
            )
        axes.set_title(
            f"{style.input_name(source, inputs=inputs)} → node {node + 1}",
            loc="left",
            fontweight="bold" if kept else "normal",
            pad=4,
            color=style.BLACK if kept else style.GREY,
        )
        _thin_ticks(axes, left=source == 0, bottom=_is_lowest(node, source, edges))
    _operation_legend(figure, operations, colours)
    figure.supxlabel("search step", fontsize=9, y=0.36 / figure.get_figheight())
    figure.supylabel("weight", fontsize=9, x=0.005)
    return figure


@style.styled
def draw_search(alphas: dict[str, Any], log: Records, *, unit: str = "search step") -> "Figure":
    """Three panels over the search: the losses, the entropy of the weights, genotype changes.

    The entropy of an edge with weights p over K operations is −Σ p log p / log K: 1 is undecided,
    0 is decided. The search may stop once the genotype no longer changes.
    """
    figure = style.new_figure(10.4, 3.1)
    left, middle, right = figure.subplots(1, 3, gridspec_kw={"wspace": 0.3})
    records = [r for r in log if r.get("stage") == "search"] or alphas["history"]
    _plot_losses(left, records, unit)
    cells = list(alphas["cells"])
    for cell, colour in zip(cells, (style.BLUE, style.VERMILLION, style.GREEN)):
        steps, weights = weight_history(alphas, cell)
        entropy = edge_entropy(weights)
        middle.plot(steps, entropy, color=colour, linewidth=0.7, alpha=0.35)
        middle.plot(steps, entropy.mean(1), color=colour, linewidth=2.2, label=f"mean, {cell} cell")
        middle.plot([], [], color=colour, linewidth=0.7, alpha=0.5, label="single edges")
    middle.set(
        title="Entropy of the weights",
        xlabel=unit,
        ylim=(0, 1.03),
        xlim=_span([h["step"] for h in alphas["history"]]),
    )
    middle.legend(loc="lower left")
    steps, changes = genotype_changes(alphas["history"])
    right.vlines(steps, 0, changes, color=style.BLUE, linewidth=1.6)
    right.plot(steps, changes, "o", color=style.BLUE, markersize=3.2, clip_on=False)
    right.set(
        title="Operations newly chosen",
        xlabel=unit,
        ylim=(0, max([*changes, 3]) * 1.1),
        xlim=_span([h["step"] for h in alphas["history"]]),
    )
    right.yaxis.get_major_locator().set_params(integer=True)
    for axes in (left, middle, right):
        few_ticks(axes)
    return figure


@style.styled
def draw_candidates(alphas: dict[str, Any], log: Records, *, unit: str = "search step") -> "Figure":
    """Two panels of a random search: the supernet's losses, and every candidate's, by rank."""
    figure = style.new_figure(7.6, 3.1)
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.28})
    _plot_losses(left, [r for r in log if r.get("stage") == "search"], unit)
    losses = sorted(h["valid_loss"] for h in alphas["history"] if "valid_loss" in h)
    ranks = range(1, len(losses) + 1)
    right.plot(ranks, losses, "o", color=style.BLUE, markersize=5)
    right.plot(ranks[:1], losses[:1], "*", color=style.VERMILLION, markersize=15, label="best")
    right.set(title="Validation loss of the candidates", xlabel="rank")
    right.margins(x=0.12, y=0.15)
    right.legend(loc="lower right")
    for axes in (left, right):
        few_ticks(axes)
    return figure


@style.styled
def draw_training(log: Records, *, stage: str = "train", unit: str = "step") -> "Figure":
    """Smoothed training loss and, where it was logged, validation PSNR of every trained method."""
    groups = {
        model: [r for r in log if r.get("stage") == stage and r.get("model") == model]
        for model in trained_models(log, stage=stage)
    }
    pens = style.pens(groups)
    scores = {model: series(records, "psnr", of="valid") for model, records in groups.items()}
    panels = 2 if any(len(steps) for steps, _ in scores.values()) else 1
    figure = style.new_figure(4.8 * panels, 3.9)
    left, *right = figure.subplots(1, panels, squeeze=False, gridspec_kw={"wspace": 0.22})[0]
    settled = []
    for model, records in groups.items():
        steps, loss = series(records, "loss", of="train")
        left.plot(steps, smooth(loss), label=method_name(model), **_line(pens[model]))
        settled += [*smooth(loss)[len(loss) // 10 :]]
    left.set(title="Training loss, smoothed", xlabel=unit, yscale="log")
    if settled:  # the first tenth of a wild start may leave the picture
        left.set_ylim(0.95 * min(settled), 1.05 * max(settled))
    plain_log_ticks(left)
    for axes in right:
        for model, (steps, psnr) in scores.items():
            pen = pens[model]
            axes.plot(
                steps,
                psnr,
                marker=pen.marker,
                markersize=6 if pen.marker == "*" else 3.2,
                **_line(pen),
            )
        axes.set(title="Validation PSNR (dB)", xlabel=unit)
    for axes in (left, *right):
        few_ticks(axes)
    figure.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0.02),
        ncols=style.even_columns(len(groups), most=3 * panels),
    )
    return figure


def moves(alphas: dict[str, Any]) -> bool:
    """True if the alphas were recorded at more than one step, so that they have an evolution."""
    return len({record["step"] for record in alphas["history"]}) > 1


def trained_models(log: Records, *, stage: str = "train") -> list[str]:
    """The models that `stage` has logged, in order of appearance."""
    return list(dict.fromkeys(r["model"] for r in log if r.get("stage") == stage and "model" in r))


def weight_history(alphas: dict[str, Any], cell: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps (T,) and weights (T, edges, operations) of one cell."""
    steps = np.array([h["step"] for h in alphas["history"]])
    return steps, np.array([h["weights"][cell] for h in alphas["history"]], dtype=float)


def edge_entropy(weights: np.ndarray) -> np.ndarray:
    """−Σ p log p / log K over the last axis of weights (..., K), each edge normalised to 1."""
    total = weights.sum(-1, keepdims=True)
    p = weights / np.where(total > 0, total, 1)
    terms = p * np.log(np.where(p > 0, p, 1))
    return -terms.sum(-1) / np.log(max(weights.shape[-1], 2))


def genotype_changes(history: Iterable[dict[str, Any]]) -> tuple[list[int], list[int]]:
    """Steps, and how many [node, operation, input] choices are new since the record before."""
    steps, counts, before = [], [], None
    for record in history:
        if not record.get("genotype"):
            continue
        now = {
            (cell, node, op, source)
            for cell, nodes in record["genotype"]["cells"].items()
            for node, edges in enumerate(nodes)
            for op, source in edges
        }
        if before is not None:
            steps.append(record["step"])
            counts.append(len(now - before))
        before = now
    return steps, counts


def quantity_name(records: Records, quantity: str, *, of: str) -> str | None:
    """The first name logged for a quantity, `of` "train" or "valid"; None if there is none.

    It contains `quantity`; it belongs to "valid" if it says so, else to "train". Names with a slash
    are those of single clients.
    """
    names = dict.fromkeys(
        name
        for r in records
        for name in r
        if quantity in name and "/" not in name and ("valid" in name) == (of == "valid")
    )
    return next(iter(names), None)


def readings(records: Records, name: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of the records that have a name."""
    found = [(r["step"], r[name]) for r in records if name and r.get(name) is not None]
    steps, values = zip(*found) if found else ((), ())
    return np.array(steps, dtype=float), np.array(values, dtype=float)


def series(records: Records, quantity: str, *, of: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a logged quantity, `of` "train" or "valid"; see `quantity_name`."""
    return readings(records, quantity_name(records, quantity, of=of))


def smooth(values: np.ndarray) -> np.ndarray:
    """Centred mean over a twentieth of the (N,) values, over fewer at the ends: no lag."""
    half = len(values) // 40
    sums = np.concatenate([[0.0], np.cumsum(values)])
    centre = np.arange(len(values))
    low, high = np.maximum(centre - half, 0), np.minimum(centre + half + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def few_ticks(axes: "Axes") -> None:
    """Sets at most five whole numbers along x."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def plain_log_ticks(axes: "Axes") -> None:
    """Plain numbers along y at 1, 2 and 5 of every decade, and between where that is too few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_ylim()
    locator = LogLocator(subs=COARSE)
    if sum(low <= tick <= high for tick in locator.tick_values(low, high)) < 3:
        locator = LogLocator(subs=FINE)
    axes.yaxis.set_major_locator(locator)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _plot_losses(axes: "Axes", records: Records, unit: str) -> None:
    for half, colour, name in (
        ("train", style.BLUE, "training"),
        ("valid", style.VERMILLION, "validation"),
    ):
        steps, loss = series(records, "loss", of=half)
        if len(steps):
            axes.plot(steps, loss, color=colour, linewidth=0.6, alpha=0.3)
            axes.plot(steps, smooth(loss), color=colour, linewidth=1.8, label=name)
    axes.set(title="Loss of the supernet", xlabel=unit, yscale="log")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right")
    plain_log_ticks(axes)


def _operation_legend(figure: "Figure", operations: Sequence[str], colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=colours[name],
            linewidth=2.4,
            label=name,
            linestyle="--" if name == "none" else "-",
        )
        for name in operations
    ]
    figure.legend(
        handles=handles,
        loc="upper center",
        ncols=style.even_columns(len(handles)),
        bbox_to_anchor=(0.5, 0.3 / figure.get_figheight()),
    )


def _thin_ticks(axes: "Axes", *, left: bool, bottom: bool) -> None:
    few_ticks(axes)
    axes.tick_params(labelleft=left, labelbottom=bottom, length=2.5)


def _is_lowest(node: int, source: int, edges: Sequence[Sequence[int]]) -> bool:
    return node == max(n for n, s in edges if s == source)


def _span(steps: Sequence[int] | np.ndarray) -> tuple[float, float]:
    low, high = float(np.min(steps)), float(np.max(steps))
    return low, high if high > low else low + 1


def _line(pen: style.Pen) -> dict[str, Any]:
    return {"color": pen.colour, "linestyle": pen.dash, "linewidth": pen.width}
