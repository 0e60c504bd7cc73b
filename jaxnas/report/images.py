"""Reconstructions side by side: images, a magnified detail, and error maps on one scale."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxnas.report import style
from jaxnas.report.inputs import ExampleImage
from jaxnas.report.names import UNTRAINED, method_name, method_parts, method_rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_COLUMNS = 7
MOST_COLUMNS = 8
_PANEL = 1.62
FACTORS = (20, 10, 5, 4, 3, 2, 1)


@style.styled
def draw_reconstructions(example: ExampleImage, scores: dict[str, tuple[float, float]]) -> "Figure":
    """Columns: target and reconstructions. Rows: image, detail, |error| × k with PSNR and SSIM.

    All images share one grey scale and all errors one colour scale; the sampling mask stands
    under the target. `scores` are the (PSNR in dB, SSIM) of the models on this slice.
    """
    models = choose_reconstructors(example.images, scores)
    window = detail_window(example)
    target, images = example.target, [example.images[m] for m in models]
    peak = float(np.quantile(target, 0.998)) or 1.0
    factor = error_factor(target, example.images)
    figure, axes = _canvas(1 + len(models), target.shape, window)
    for column, image in enumerate([target, *images]):
        _show(axes[0][column], image, peak)
        _frame(axes[0][column], window)
        _show(axes[1][column], image[window], peak)
        for spine in axes[1][column].spines.values():
            spine.set(visible=True, edgecolor=style.ORANGE, linewidth=1.4)
    axes[0][0].set_title("target", fontweight="bold", pad=4)
    _draw_mask(axes[2][0], example)
    last = None
    for column, (model, image) in enumerate(zip(models, images), start=1):
        axes[0][column].set_title(
            _title(model), pad=4, fontweight="bold" if model == "derived" else "normal"
        )
        last = _show_error(axes[2][column], image - target, peak / factor)
        if model in scores:
            psnr, ssim = scores[model]
            axes[2][column].set_xlabel(f"{psnr:.2f} dB\nSSIM {ssim:.4f}", labelpad=3, fontsize=8.5)
    for row, name in enumerate(("image", "detail", f"|error| × {factor}")):
        axes[row][0].set_ylabel(name, labelpad=4)
    if last is not None:
        _colour_bar(figure, last, axes[2][-1], peak, factor)
    return figure


@style.styled
def draw_client(example: ExampleImage, scores: dict[str, tuple[float, float]]) -> "Figure":
    """Target, zero-filled and every method at one client, the error under each on one scale.

    More than `MOST_COLUMNS` go on in a second band of images and errors. The sampling mask stands
    under the target, the (PSNR in dB, SSIM) of this slice in the titles.
    """
    methods = order_methods(example.images)
    target = example.target
    peak = float(np.quantile(target, 0.998)) or 1.0
    trained = {m: x for m, x in example.images.items() if m not in UNTRAINED}
    factor = error_factor(target, trained or example.images)
    figure, bands = _bands(1 + len(methods), target.shape)
    places = [pair for band in bands for pair in band]
    _show(places[0][0], target, peak)
    _write_above(places[0][0], ["target"], bold=True)
    _draw_mask(places[0][1], example)
    best = max((psnr for psnr, _ in scores.values()), default=None)
    last = None
    for (image_axes, error_axes), method in zip(places[1:], methods):
        image = example.images[method]
        _show(image_axes, image, peak)
        last = _show_error(error_axes, image - target, peak / factor)
        psnr, ssim = scores.get(method, (None, None))
        score = [] if psnr is None else [f"{psnr:.2f} dB, {ssim:.4f}"]
        names = [name for name in method_parts(method) if name]
        _write_above(image_axes, [*names, *score], bold=psnr is not None and psnr == best)
    for band in bands:
        for axes, name in zip(band[0], ("image", f"|error| × {factor}")):
            axes.set_ylabel(name, labelpad=4)
    if last is not None:
        _colour_bar(figure, last, bands[0][-1][1], peak, factor)
    return figure


def order_methods(images: dict[str, np.ndarray]) -> list[str]:
    """Untrained reconstructions first, searched networks last, the others as they come."""
    return sorted(images, key=method_rank)


def choose_reconstructors(
    images: dict[str, np.ndarray], scores: dict[str, tuple[float, float]]
) -> list[str]:
    """Zero-filled, TV, the baselines with the best PSNR that fit, and the derived network last."""
    fixed = [m for m in ("zero_filled", "tv") if m in images]
    last = [m for m in ("derived",) if m in images]
    others = [m for m in images if m not in fixed + last]
    room = _COLUMNS - 1 - len(fixed) - len(last)
    best = sorted(others, key=lambda m: -scores.get(m, (0.0,))[0])[:room]
    return fixed + [m for m in others if m in best] + last


def detail_window(example: ExampleImage) -> tuple[slice, slice]:
    """The quarter-sized window of the central half where zero filling errs most."""
    reference = example.images.get("zero_filled", np.zeros_like(example.target))
    error = np.abs(example.target - reference)
    sizes = tuple(max(n // 4, 1) for n in error.shape)
    sums = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    h, w = sizes
    totals = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    top, left = (n // 4 for n in error.shape)
    inner = totals[top : totals.shape[0] - top, left : totals.shape[1] - left]
    i, j = np.unravel_index(inner.argmax(), inner.shape)
    return slice(top + i, top + i + h), slice(left + j, left + j + w)


def error_factor(target: np.ndarray, images: dict[str, np.ndarray]) -> int:
    """The largest magnification at which 99 % of the learned methods' errors stay in scale."""
    shown = [x for name, x in images.items() if name != "zero_filled"] or list(images.values())
    errors = [float(np.quantile(np.abs(x - target), 0.99)) for x in shown]
    peak = float(np.quantile(target, 0.998))
    return next((k for k in FACTORS if max(errors, default=0.0) * k <= peak), 1)


def _canvas(
    columns: int, shape: tuple[int, ...], window: tuple[slice, slice]
) -> "tuple[Figure, list[list[Axes]]]":
    """Three rows of panels with the aspect of the image and of the detail."""
    tall = _PANEL * shape[0] / shape[1]
    rows, cols = (s.stop - s.start for s in window)
    detail = _PANEL * rows / cols
    gap, left, right, top, bottom = 0.06, 0.3, 0.75, 0.3, 0.5
    width = left + columns * (_PANEL + gap) + right
    height = top + tall + detail + tall + 2 * gap + bottom
    figure = style.new_figure(width, height)
    axes, y = [], height - top
    for size in (tall, detail, tall):
        y -= size
        axes.append(
            [
                figure.add_axes(
                    ((left + i * (_PANEL + gap)) / width, y / height, _PANEL / width, size / height)
                )
                for i in range(columns)
            ]
        )
        y -= gap
    _clear(panel for row in axes for panel in row)
    return figure, axes


def _bands(count: int, shape: tuple[int, ...]) -> "tuple[Figure, list[list[tuple[Axes, Axes]]]]":
    """Bands of equal length with `count` pairs of panels, an image above its error."""
    number = -(-count // MOST_COLUMNS)
    columns = -(-count // number)
    tall = _PANEL * shape[0] / shape[1]
    gap, left, right, top, bottom = 0.06, 0.3, 0.75, 0.62, 0.45
    width = left + columns * (_PANEL + gap) + right
    band = top + 2 * tall + gap + bottom
    height = number * band
    figure = style.new_figure(width, height)
    bands: list[list[tuple[Axes, Axes]]] = [[] for _ in range(number)]
    for index in range(count):
        row, column = divmod(index, columns)
        x, y = left + column * (_PANEL + gap), height - row * band - top - tall
        upper, lower = (
            figure.add_axes((x / width, at / height, _PANEL / width, tall / height))
            for at in (y, y - gap - tall)
        )
        _clear((upper, lower))
        bands[row].append((upper, lower))
    return figure, bands


def _clear(panels: "Iterable[Axes]") -> None:
    """Leaves nothing of the axes but their labels."""
    for panel in panels:
        panel.set(xticks=[], yticks=[])
        panel.grid(False)
        panel.spines[:].set_visible(False)


def _show(axes: "Axes", image: np.ndarray, peak: float) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=peak, interpolation="nearest")


def _show_error(axes: "Axes", error: np.ndarray, top: float) -> "AxesImage":
    return axes.imshow(np.abs(error), cmap="inferno", vmin=0, vmax=top, interpolation="nearest")


def _frame(axes: "Axes", window: tuple[slice, slice]) -> None:
    from matplotlib.patches import Rectangle

    rows, cols = window
    axes.add_patch(
        Rectangle(
            (cols.start - 0.5, rows.start - 0.5),
            cols.stop - cols.start,
            rows.stop - rows.start,
            fill=False,
            edgecolor=style.ORANGE,
            linewidth=1.2,
        )
    )


def _draw_mask(axes: "Axes", example: ExampleImage) -> None:
    """The mask as it lies in k-space: of whole columns (W,), or of points (H, W)."""
    if example.mask is None:
        axes.set_frame_on(False)
        return
    mask = np.asarray(example.mask, dtype=float)
    whole = mask.ndim == 1
    axes.imshow(
        np.broadcast_to(mask, (len(mask), len(mask))) if whole else mask,
        cmap="gray",
        vmin=0,
        vmax=1,
        aspect="auto",
        interpolation="nearest",
    )
    said = f"{mask.size} columns" if whole else f"{mask.size} points"
    axes.set_xlabel(f"mask: {int(mask.sum())} of\n{said}", labelpad=3, fontsize=8.5)


def _colour_bar(
    figure: "Figure", image: "AxesImage", beside: "Axes", peak: float, factor: int
) -> None:
    box = beside.get_position()
    bar = figure.add_axes(
        (box.x1 + 0.1 / figure.get_figwidth(), box.y0, 0.1 / figure.get_figwidth(), box.height)
    )
    scale = figure.colorbar(image, cax=bar, extend="max", ticks=np.linspace(0, peak / factor, 3))
    scale.ax.set_yticklabels(["0", f"{50 / factor:.3g} %", f"{100 / factor:.3g} %"])
    scale.outline.set_visible(False)
    bar.tick_params(length=2)
    bar.grid(False)


def _title(model: str) -> str:
    return {"derived": "searched"}.get(model, method_name(model))


def _write_above(axes: "Axes", lines: Sequence[str], *, bold: bool) -> None:
    """Lines of text over a panel, the last one on the same height in every panel."""
    for row, line in enumerate(reversed(lines)):
        axes.annotate(
            line,
            (0.5, 1),
            xytext=(0, 4 + 12 * row),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            va="baseline",
            fontweight="bold" if bold else "normal",
        )
