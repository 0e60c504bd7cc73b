"""Segmentations on their images: what networks find, with the contours of the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnas.engine.rundir import ArraysFile
from jaxnas.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Of the labels 1, 2, …, from the start again where there are more.
_COLOURS = (style.BLUE, style.GREEN, style.VERMILLION, style.ORANGE, style.PURPLE, style.SKY)
_COLOURS += (style.BROWN,)
_PANEL = 1.5
_MARGIN = 0.35  # around what is labelled, of its extent
OPACITY = 0.5


@dataclass(frozen=True)
class Overlay:
    """One slice: image float32, truth and the labels by every model uint8, all (H, W).

    `phase` is that of a heart, else the name of the volume; `level` says which slice it is.
    `spacing` is the pixel size (dy, dx) in mm; `volume` and `slice` are None where not known.
    """

    phase: str
    level: str
    image: np.ndarray
    truth: np.ndarray
    labels: dict[str, np.ndarray]
    spacing: tuple[float, float] = (1.0, 1.0)
    volume: str | None = None
    slice: int | None = None


def read_overlays(file: ArraysFile) -> list[Overlay]:
    """The slices of a file of overlays, in its order; none without the file."""
    if not file.exists():
        return []
    places = file.places.read() if file.places.exists() else {}
    groups: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for key, array in file.read().items():
        phase, level, name = key.split("/", 2)
        groups.setdefault((phase, level), {})[name] = array
    return [
        _overlay(phase, level, arrays, places.get(phase, {}))
        for (phase, level), arrays in groups.items()
        if {"image", "truth"} <= arrays.keys()
    ]


@style.styled
def draw_overlays(
    overlays: Sequence[Overlay],
    models: Sequence[str],
    names: Sequence[str],
    classes: Sequence[str],
) -> "Figure":
    """A row per slice: the image, then the labels of every model under the truth's contours.

    All slices show the part around what is labelled. `names` are those of the `models` for the
    reader, `classes` those of the labels 1, 2, …
    """
    boxes = {phase: _box([o for o in overlays if o.phase == phase]) for phase in _phases(overlays)}
    columns = 1 + len(models)
    heights = [_ratio(o, boxes[o.phase]) for o in overlays]
    left, top, gap = 0.62, 0.42, 0.05
    width = left + columns * _PANEL + (columns - 1) * gap
    height = top + _PANEL * sum(heights) + gap * len(overlays)
    figure = style.new_figure(width, height)
    y = height - top
    for overlay, share in zip(overlays, heights):
        y -= _PANEL * share
        for column, model in enumerate([None, *models]):
            x = left + column * (_PANEL + gap)
            axes = figure.add_axes((x / width, y / height, _PANEL / width, _PANEL * share / height))
            _show(axes, overlay, model, boxes[overlay.phase])
            if overlay is overlays[0]:
                axes.set_title("truth" if model is None else names[column - 1], pad=4, fontsize=8.5)
            if column == 0:
                axes.set_ylabel(_row_name(overlay), fontsize=8.5, labelpad=4)
        y -= gap
    _legend(figure, classes)
    return figure


def label_colour(label: int) -> str:
    """The colour of a label, from 1."""
    return _COLOURS[(label - 1) % len(_COLOURS)]


def choose_segmenters(
    available: Sequence[str], ranked: Sequence[str], *, most: int = 5
) -> list[str]:
    """The `most` models to show: of those `ranked` from good to bad the first that there are, in
    the order in which they are `available`."""
    best = [model for model in ranked if model in available][:most] or list(available)[:most]
    return [model for model in available if model in best]


def _overlay(
    phase: str, level: str, arrays: dict[str, np.ndarray], place: dict[str, Any]
) -> Overlay:
    labels = {name: x for name, x in arrays.items() if name not in ("image", "truth")}
    return Overlay(
        phase,
        level,
        arrays["image"],
        arrays["truth"],
        labels,
        tuple(place.get("spacing", (1.0, 1.0))),
        place.get("volume"),
        place.get("slices", {}).get(level),
    )


def _phases(overlays: Sequence[Overlay]) -> list[str]:
    return list(dict.fromkeys(overlay.phase for overlay in overlays))


def _box(overlays: Sequence[Overlay]) -> tuple[slice, slice]:
    """The part of all slices around their labels; everything where there are none."""
    inside = np.any([overlay.truth > 0 for overlay in overlays], axis=0)
    sides = []
    for axis in (0, 1):
        places = np.flatnonzero(inside.any(1 - axis))
        low, high = (places[0], places[-1] + 1) if len(places) else (0, inside.shape[axis])
        sides.append((low, high))
    # The same number of millimetres on every side, so that the panels are about square.
    dy, dx = overlays[0].spacing
    extent = max((sides[0][1] - sides[0][0]) * dy, (sides[1][1] - sides[1][0]) * dx)
    reach = extent * (1 + 2 * _MARGIN) / 2
    box = []
    for (low, high), step, size in zip(sides, (dy, dx), inside.shape):
        middle = (low + high) / 2
        box.append(
            slice(max(int(middle - reach / step), 0), min(int(middle + reach / step) + 1, size))
        )
    return box[0], box[1]


def _ratio(overlay: Overlay, box: tuple[slice, slice]) -> float:
    """Height over width of the part shown, in mm."""
    rows, columns = ((side.stop - side.start) for side in box)
    dy, dx = overlay.spacing
    return rows * dy / (columns * dx)


def _show(axes: "Axes", overlay: Overlay, model: str | None, box: tuple[slice, slice]) -> None:
    from matplotlib.colors import to_rgba

    image, truth = overlay.image[box], overlay.truth[box]
    low, high = np.quantile(image, (0.005, 0.995))
    look: dict[str, Any] = {"aspect": "auto", "interpolation": "bilinear"}
    axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), **look)
    if model is not None and model in overlay.labels:
        found = overlay.labels[model][box]
        tint = np.zeros((*found.shape, 4))
        for label in _labels(found):
            tint[found == label] = to_rgba(label_colour(label), OPACITY)
        axes.imshow(tint, aspect="auto", interpolation="nearest")
    for label in _labels(truth):
        mask = (truth == label).astype(float)
        if mask.mean() < 1:
            line = label_colour(label) if model is None else "white"
            axes.contour(
                mask, levels=[0.5], colors=[line], linewidths=1.3 if model is None else 0.8
            )
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _row_name(overlay: Overlay) -> str:
    place = "" if overlay.slice is None else f"\nslice {overlay.slice}"
    return f"{overlay.phase}, {overlay.level}{place}"


def _labels(found: np.ndarray) -> list[int]:
    """The labels that a slice has, without the background."""
    return [int(label) for label in np.unique(found) if label]


def _legend(figure: "Figure", classes: Sequence[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    truth = "white lines: contours of the truth"
    handles = [
        *(Patch(color=label_colour(k), label=name) for k, name in enumerate(classes, 1)),
        Line2D([], [], color="#BBBBBB", linewidth=1.2, label=truth),
    ]
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4)
