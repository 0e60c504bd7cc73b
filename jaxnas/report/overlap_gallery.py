"""The figures that only a segmentation run has, with their captions."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from jaxnas.report import overlays, pareto
from jaxnas.report.cells import draw_cell
from jaxnas.report.inputs import RunFiles
from jaxnas.report.names import method_key
from jaxnas.report.overlaps import (
    Row,
    class_names,
    class_title,
    dice_of,
    is_random,
    is_searched,
    is_valid,
    limits_of,
)
from jaxnas.report.overlaps import network_name as name_of
from jaxnas.report.paths import CELL_FRAMES, draw_paths, path_edges
from jaxnas.report.style import Plan


def segmentation_plans(run: RunFiles) -> Iterator[Plan]:
    """Figures of the metrics, the example segmentations, the calibration and the genotype."""
    if run.metrics and pareto.timed_rows(run.metrics):
        draw = functools.partial(pareto.draw_pareto, run.metrics)
        yield Plan("results", "pareto", PARETO_CAPTION, draw)
    if run.overlays:
        yield _overlay_plan(run)
    if run.genotype:
        yield from cell_plans(run.genotype)


def cell_plans(genotype: dict[str, Any]) -> Iterator[Plan]:
    """The cells of a genotype of the two-level space, and its paths."""
    weights = genotype.get("weights") or {}
    for cell, nodes in genotype["cells"].items():
        frame = CELL_FRAMES[cell]
        draw = functools.partial(draw_cell, nodes, weights=weights.get(cell), frame=frame)
        yield Plan("cell", f"cell_{cell}", CELL_CAPTIONS[cell] + READING, draw)
    if genotype.get("paths"):
        yield _path_plan(genotype["paths"])


def _path_plan(paths: Sequence[Sequence[int]]) -> Plan:
    cells, uses = len(path_edges(paths)), sum(path_edges(paths).values())
    caption = PATHS_CAPTION.format(
        paths=f"{len(paths)} path{'s' if len(paths) > 1 else ''}", cells=cells, uses=uses
    )
    scales = 1 + max(max(path) for path in paths)
    return Plan("cell", "paths", caption, functools.partial(draw_paths, paths, scales=scales))


def _overlay_plan(run: RunFiles) -> Plan:
    rows = [row for row in (run.metrics or {}).get("rows", []) if not is_random(row)]
    ranked = _ranked(rows, limits_of(run.metrics or {}))
    available = list(dict.fromkeys(name for o in run.overlays for name in o.labels))
    if ranked:
        known = {method_key(row): row for row in rows}
        available.sort(key=lambda name: name in known and is_searched(known[name]))
    models = overlays.choose_segmenters(available, [method_key(row) for row in ranked])
    names = {method_key(row): name_of(row).replace(" (", "\n(") for row in rows}
    omitted = len(available) - len(models)
    rest = f" Not shown: {omitted} further networks." if omitted else ""
    volumes = dict.fromkeys(o.volume for o in run.overlays if o.volume)
    place = f" Volumes: {', '.join(volumes)}." if volumes else ""
    draw = functools.partial(
        overlays.draw_overlays,
        run.overlays,
        models,
        [names.get(m, m) for m in models],
        _class_titles(run),
    )
    beating = any(overlay.level in _HEART_LEVELS for overlay in run.overlays)
    what = HEART_CAPTION if beating else EXTENT_CAPTION
    return Plan("images", "overlays", what + OVERLAY_CAPTION + place + rest, draw)


def _class_titles(run: RunFiles) -> list[str]:
    """The readers' names of the labels 1, 2, …; numbers where no evaluation names them."""
    if run.metrics and (known := class_names(run.metrics)):
        return [class_title(name) for name in known]
    most = max(int(overlay.truth.max()) for overlay in run.overlays)
    return [f"label {k}" for k in range(1, 1 + most)]


def _ranked(rows: Sequence[Row], limits: dict[str, float]) -> list[Row]:
    """The best network of every decoder and the best baseline, then all others.

    Those that keep the limits come before those that are merely good.
    """
    rows = sorted(rows, key=lambda r: (-is_valid(r, limits), -(dice_of(r) or 0.0)))
    kinds = [row["decoder"] if is_searched(row) else None for row in rows]
    first = [kind not in kinds[:i] for i, kind in enumerate(kinds)]
    return sorted(rows, key=lambda row: not first[rows.index(row)])


PARETO_CAPTION = (
    "Mean Dice against the median latency of one frame (left) and the throughput (right). "
    "Shaded: where a network keeps the limit of that axis. Line: the networks that keep both "
    "limits and that no other such network beats in Dice and speed. Nₗ: number of paths."
)
_HEART_LEVELS = ("base", "mid", "apex")
HEART_CAPTION = (
    "Slices at base, middle and apex of the heart, at end-diastole (ED) and end-systole (ES). "
)
EXTENT_CAPTION = (
    "Slices low, in the middle and high, by their numbers, within the labelled part of a volume. "
)
OVERLAY_CAPTION = (
    "Left: the contours of the truth. Then what every network finds, in colour, under the "
    "contours of the truth, in white."
)
CELL_CAPTIONS = {
    "expand": "The searched expanding cell, which doubles the resolution. ",
    "keep": "The searched non-scaling cell. ",
    "contract": "The searched contracting cell, which halves the resolution. ",
}
READING = (
    "Every box is an operation, every numbered node the sum of its boxes. The cell concatenates "
    "its nodes; a 1×1 convolution brings them to the number of channels of the next scale. Nodes "
    "in one column have the same depth."
)
PATHS_CAPTION = (
    "The network: {paths} of {uses} cells in total, which share cells and so compute {cells}. "
    "Layers from left to right, resolution from top to bottom, relative to that behind the stem. "
    "Where cells meet in a circle their outputs are added. Numbers: paths that share a cell."
)
