"""Every figure that a run directory can give, with its caption."""

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxnas.report import cells, curves, recon, style, tradeoff
from jaxnas.report.inputs import Example, RunFiles, slice_scores
from jaxnas.report.tables import DISPLAY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 160


class Picture(NamedTuple):
    """A drawn figure: the report section it belongs to, its file name, and its caption."""

    section: str
    name: str
    caption: str
    png: bytes


class Plan(NamedTuple):
    """A figure that the run has the data for, not drawn yet."""

    section: str
    name: str
    caption: str
    draw: Callable[[], "Figure"]


def draw_figures(run: RunFiles) -> Iterator[Picture]:
    """Draws the figures one after the other; what the run has no data for is left out."""
    for plan in _plans(run):
        png = style.to_png(plan.draw(), dpi=DPI)
        yield Picture(plan.section, plan.name, plan.caption, png)


def _plans(run: RunFiles) -> Iterator[Plan]:
    chosen = run.genotype["cells"] if run.genotype else {}
    for cell, nodes in chosen.items():
        yield Plan(
            "cell",
            f"cell_{cell}",
            CELL_CAPTION.format(cell=cell),
            functools.partial(cells.draw_cell, nodes),
        )
    if run.alphas and run.alphas["history"]:
        yield from _search_plans(run, run.alphas, chosen)
    if curves.trained_models(run.log):
        yield Plan(
            "training",
            "training",
            TRAINING_CAPTION,
            functools.partial(curves.draw_training, run.log),
        )
    if run.metrics and tradeoff.network_rows(run.metrics):
        yield Plan(
            "results",
            "tradeoff",
            TRADEOFF_CAPTION,
            functools.partial(tradeoff.draw_tradeoff, run.metrics),
        )
    for example in run.examples:
        scores = slice_scores(run.slices, example)
        yield Plan(
            "images",
            f"reconstructions_{example.acceleration:g}x",
            _image_caption(example, scores),
            functools.partial(recon.draw_reconstructions, example, scores),
        )


def _search_plans(run: RunFiles, alphas: dict[str, Any], chosen: dict[str, Any]) -> Iterator[Plan]:
    """The alphas over time where they moved, the ranked candidates where they were sampled."""
    if not curves.moves(alphas):
        draw = functools.partial(curves.draw_candidates, alphas, run.log)
        yield Plan("search", "search", CANDIDATES_CAPTION, draw)
        return
    draw = functools.partial(curves.draw_search, alphas, run.log)
    yield Plan("search", "search", SEARCH_CAPTION, draw)
    for cell in alphas["cells"]:
        draw = functools.partial(curves.draw_alphas, alphas, cell, chosen=chosen.get(cell))
        yield Plan("search", f"alphas_{cell}", ALPHAS_CAPTION.format(cell=cell), draw)


def _image_caption(example: Example, scores: dict[str, tuple[float, float]]) -> str:
    place = f" Slice {example.slice} of {example.volume}." if example.volume else ""
    shown = recon.choose_models(example.images, scores)
    omitted = [DISPLAY.get(m, m) for m in example.images if m not in shown]
    why = ", with a lower PSNR on this slice" if scores else ""
    rest = f" Not shown{why}: {', '.join(omitted)}." if omitted else ""
    return (
        f"{example.acceleration:g}× acceleration.{place} Top: magnitudes on one grey scale. "
        "Middle: the framed detail, chosen where zero filling errs most. Bottom: the sampling mask "
        "and the absolute errors on one scale, in percent of the target's peak; brighter is worse. "
        f"Below: PSNR and SSIM of this slice.{rest}"
    )


CELL_CAPTION = (
    "The searched {cell} cell. C with index l−2 and l−1 are the outputs of the two previous cells; "
    "every box is an operation, every numbered node the sum of its boxes, and the output "
    "concatenates the nodes. Nodes in one column have the same depth."
)
SEARCH_CAPTION = (
    "The search. Left: losses of the supernet, thin as logged, thick smoothed. Middle: entropy of "
    "the operation weights of every edge, relative to undecided (1). Right: how many operations of "
    "the derived genotype differ from the record before; zeros mean that the cell is stable."
)
ALPHAS_CAPTION = (
    "Operation weights (softmax of the alphas) of the {cell} cell, one panel per edge: rows are "
    "nodes, columns their inputs. Thick lines are the operations that the genotype keeps, bold "
    "titles the edges that carry them."
)
CANDIDATES_CAPTION = (
    "Random search. Left: losses of the supernet along random paths, thin as logged, thick "
    "smoothed. Right: validation loss of the sampled candidates with the shared weights; the best "
    "one is the searched cell."
)
TRAINING_CAPTION = "Training of the searched network and the baselines from scratch."
TRADEOFF_CAPTION = (
    "Mean PSNR over all accelerations against size and computation; up and left is better."
)
