"""Every figure that a run directory can give, with its caption."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxnas.report import cells, curves, heat, latency, rounds, spread, style, tradeoff, traffic
from jaxnas.report import images as recon
from jaxnas.report.federated import pooled
from jaxnas.report.inputs import ExampleImage, RunFiles, slice_scores
from jaxnas.report.names import method_name
from jaxnas.report.overlap_gallery import segmentation_plans
from jaxnas.report.selection import draw_selection
from jaxnas.report.style import Plan

DPI = 160
MOST_PICTURED = 8  # clients


class Picture(NamedTuple):
    """A drawn figure: the report section it belongs to, its file name, and its caption."""

    section: str
    name: str
    caption: str
    png: bytes


def draw_figures(run: RunFiles) -> Iterator[Picture]:
    """Draws the figures one after the other; what the run has no data for is left out."""
    for plan in _plans(run):
        png = style.to_png(plan.draw(), dpi=DPI)
        yield Picture(plan.section, plan.name, plan.caption, png)


def pictured(run: RunFiles) -> list[ExampleImage]:
    """The examples to draw: all at one site, else every client's at its highest acceleration.

    Of more than `MOST_PICTURED` clients the first ones.
    """
    if not run.federated:
        return run.examples
    highest = {example.client: example for example in run.examples}
    return [highest[client] for client in run.clients if client in highest][:MOST_PICTURED]


def _plans(run: RunFiles) -> Iterator[Plan]:
    segmentation = run.task == "segmentation"
    chosen = run.genotype["cells"] if run.genotype else {}
    if segmentation:
        # Across clients a figure shows a method once, over all their volumes.
        metrics = run.metrics and pooled(run.metrics)
        yield from segmentation_plans(dataclasses.replace(run, metrics=metrics))
    else:
        yield from _cell_plans(run.genotype or {})
    if run.alphas and run.alphas["history"]:
        yield from _search_plans(run, run.alphas, chosen)
    if run.selection and run.selection.at(0):
        draw = functools.partial(draw_selection, run.selection)
        yield Plan("selection", "selection", SELECTION_CAPTION, draw)
    if curves.trained_models(run.log):
        caption = ROUNDS_CAPTION if run.federated else TRAINING_CAPTION
        unit = "round" if run.federated else "step"
        draw = functools.partial(curves.draw_training, run.log, unit=unit)
        yield Plan("training", "training", caption, draw)
    if run.federated:
        yield from _client_plans(run)
    if run.calibration and run.calibration.get("predicted_ms"):
        draw = functools.partial(latency.draw_calibration, run.calibration)
        yield Plan("latency", "calibration", CALIBRATION_CAPTION, draw)
    if run.task == "reconstruction":
        yield from _reconstruction_plans(run)


def _cell_plans(genotype: dict[str, Any]) -> Iterator[Plan]:
    weights = genotype.get("weights") or {}
    tree = genotype.get("space") == cells.TREE_SPACE
    frame, says = (
        (cells.TREE_FRAME, TREE_CAPTION) if tree else (cells.TWO_INPUT_FRAME, CELL_CAPTION)
    )
    for cell, nodes in genotype.get("cells", {}).items():
        caption = says.format(cell=cell) + (SHARES_CAPTION if cell in weights else "")
        draw = functools.partial(cells.draw_cell, nodes, weights=weights.get(cell), frame=frame)
        yield Plan("cell", f"cell_{cell}", caption, draw)


def _reconstruction_plans(run: RunFiles) -> Iterator[Plan]:
    if run.metrics and tradeoff.network_rows(run.metrics):
        draw = functools.partial(tradeoff.draw_tradeoff, run.metrics)
        yield Plan("results", "tradeoff", TRADEOFF_CAPTION, draw)
    for example in pictured(run):
        yield _image_plan(example, slice_scores(run.slices, example))


def _search_plans(run: RunFiles, alphas: dict[str, Any], chosen: dict[str, Any]) -> Iterator[Plan]:
    """The alphas over time where they moved, the ranked candidates where they were sampled."""
    unit = "round" if run.federated else "search step"
    if not curves.moves(alphas):
        draw = functools.partial(curves.draw_candidates, alphas, run.log, unit=unit)
        yield Plan("search", "search", CANDIDATES_CAPTION, draw)
        return
    draw = functools.partial(curves.draw_search, alphas, run.log, unit=unit)
    yield Plan("search", "search", SEARCH_CAPTION, draw)
    # Undecided weights of a joint softmax are no single colour.
    maps = run.federated and run.task == "reconstruction"
    caption = MAPS_CAPTION if maps else ALPHAS_CAPTION
    draw_weights = heat.draw_weight_maps if maps else curves.draw_alphas
    for cell in alphas["cells"]:
        draw = functools.partial(draw_weights, alphas, cell, chosen=chosen.get(cell))
        yield Plan("search", f"alphas_{cell}", caption.format(cell=cell), draw)


def _client_plans(run: RunFiles) -> Iterator[Plan]:
    """Figures of federated runs alone: clients over the rounds and apart, and what they sent."""
    log, clients = run.log, run.clients
    if panels := rounds.search_curves(log, clients):
        draw = functools.partial(rounds.draw_losses, panels, clients)
        yield Plan("search", "search_clients", SEARCH_CLIENTS_CAPTION, draw)
    if panels := rounds.method_curves(log, "loss", clients, of="train"):
        draw = functools.partial(rounds.draw_losses, panels, clients)
        yield Plan("training", "training_clients", TRAINING_CLIENTS_CAPTION, draw)
    if panels := rounds.method_curves(log, "psnr", clients, of="valid"):
        draw = functools.partial(rounds.draw_scores, panels, clients)
        yield Plan("training", "validation_clients", VALIDATION_CAPTION, draw)
    if run.task == "reconstruction" and run.metrics and spread.scored_methods(run.metrics):
        draw = functools.partial(spread.draw_spread, run.metrics, clients)
        yield Plan("results", "clients", SPREAD_CAPTION, draw)
    if run.communication:
        draw = functools.partial(traffic.draw_traffic, run.communication)
        yield Plan("communication", "communication", TRAFFIC_CAPTION, draw)


def _image_plan(example: ExampleImage, scores: dict[str, tuple[float, float]]) -> Plan:
    if example.client is None:
        name = f"reconstructions_{example.acceleration:g}x"
        draw = functools.partial(recon.draw_reconstructions, example, scores)
        return Plan("images", name, _image_caption(example, scores), draw)
    draw = functools.partial(recon.draw_client, example, scores)
    caption = CLIENT_CAPTION.format(
        client=example.client, speed=f"{example.acceleration:g}", place=_place(example)
    )
    return Plan("images", f"reconstructions_{example.client}", caption, draw)


def _image_caption(example: ExampleImage, scores: dict[str, tuple[float, float]]) -> str:
    shown = recon.choose_reconstructors(example.images, scores)
    omitted = [method_name(m) for m in example.images if m not in shown]
    why = ", with a lower PSNR on this slice" if scores else ""
    rest = f" Not shown{why}: {', '.join(omitted)}." if omitted else ""
    return (
        f"{example.acceleration:g}× acceleration.{_place(example)} Top: magnitudes on one grey "
        "scale. Middle: the framed detail, chosen where zero filling errs most. Bottom: the "
        "sampling mask and the absolute errors on one scale, in percent of the target's peak; "
        f"brighter is worse. Below: PSNR and SSIM of this slice.{rest}"
    )


def _place(example: ExampleImage) -> str:
    return f" Slice {example.slice} of {example.volume}." if example.volume else ""


CALIBRATION_CAPTION = (
    "The latency model against the clock: every dot is a random network, built, compiled and "
    "measured on this device. The error of the fit is that of networks left out of it."
)
CELL_CAPTION = (
    "The searched {cell} cell. C with index l−2 and l−1 are the outputs of the two previous cells; "
    "every box is an operation, every numbered node the sum of its boxes, and the output "
    "concatenates the nodes. Nodes in one column have the same depth."
)
TREE_CAPTION = (
    "The {cell} cell. h is what the cells before have left; every box is an operation, every "
    "numbered node what comes out of it, and the nodes that no other reads are added to h. Nodes "
    "in one column have the same depth."
)
SHARES_CAPTION = " Numbers are the weights of the operations of an edge, relative to their sum."
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
MAPS_CAPTION = (
    "Operation weights (softmax of the averaged alphas) of the {cell} cell over the rounds, a map "
    "per edge: rows are nodes, columns their inputs. White is undecided, red has gained, blue has "
    "lost. The genotype keeps what is framed."
)
CANDIDATES_CAPTION = (
    "Random search. Left: losses of the supernet along random paths, thin as logged, thick "
    "smoothed. Right: validation loss of the sampled candidates with the shared weights; the best "
    "one is the searched cell."
)
SELECTION_CAPTION = (
    "The candidates of the selection: a line each, a dot at every rung that it reached. Those of "
    "one origin share a colour; origins stand side by side at a rung."
)
SEARCH_CLIENTS_CAPTION = (
    "Losses of the supernet at every client over the rounds of the search, smoothed. Thick: the "
    "mean of the clients. Named: the client with the largest loss at the end."
)
TRAINING_CAPTION = "Training of the searched network and the baselines from scratch."
ROUNDS_CAPTION = "Training of every method from scratch: means of the clients over the rounds."
TRAINING_CLIENTS_CAPTION = (
    "Training loss at every client, a panel per method, smoothed and on one scale. Thick: the mean "
    "of the clients. Named: the client with the largest loss at the end."
)
VALIDATION_CAPTION = (
    "Validation PSNR at every client with the model it would use then, a panel per method, on one "
    "scale. Thick: the mean of the clients. Named: the client with the lowest PSNR at the end."
)
SPREAD_CAPTION = (
    "How far the clients lie apart. Left: mean PSNR of every client (dots) and over all slices "
    "(tick). Right: the same, less what the trained methods reach at that client on average, which "
    "leaves out how hard its data are; right of zero is better than average."
)
TRADEOFF_CAPTION = (
    "Mean PSNR over all accelerations against size and computation; up and left is better."
)
TRAFFIC_CAPTION = (
    "Bytes sent and received in the whole run on a logarithmic axis, and how many times less than "
    "the longest bar. A searched network needs the search as well, once."
)
CLIENT_CAPTION = (
    "Client {client} at {speed}× acceleration.{place} Upper rows: magnitudes on one grey scale. "
    "Lower rows: the sampling mask and the absolute errors on one scale, in percent of the "
    "target's peak; brighter is worse. Above: PSNR and SSIM of this slice, the best in bold."
)
