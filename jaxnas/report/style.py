"""One look for every figure: fonts, a colour-blind-safe palette, and who wears which colour; and a
figure that a run has the data for, not drawn yet.
"""

import functools
import importlib
import io
import logging
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxnas.core.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# It tells where it keeps its list of fonts when there is no home, which changes no figure.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
# Okabe and Ito's palette without its yellow, which vanishes on white.
BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, BROWN, BLACK = "#56B4E9", "#CC79A7", "#8C6D31", "#222222"
GREY, LIGHT, CROWD = "#8A8A8A", "#E4E4E4", "#B0B0B0"
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E9E9E9",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
OPERATION_COLOURS = {
    "sep_conv_3x3": BLUE,
    "dil_2_conv_3x3": ORANGE,
    "dil_3_conv_3x3": VERMILLION,
    "conv_9x1_1x9": GREEN,
    "sep_conv_5x5": SKY,
    "sep_conv_7x7": PURPLE,
    "dil_conv_3x3": ORANGE,
    "dil_conv_5x5": VERMILLION,
    "conv_3x3": GREEN,
    "std_conv_3x3": GREEN,
    "std_conv_5x5": BROWN,
    "std_conv_7x7": BLACK,
    "skip_connect": GREY,
    "none": "#C4C4C4",
}
# The tensors of a cell, and the ticks of logarithmic axes.
MATHS = re.compile(r"\$(h|X|X_0|C_\{l(-[12])?\}|\\mathdefault\{[^$]*\})\$")
FALLBACK = (BLUE, ORANGE, GREEN, PURPLE, SKY, BROWN, VERMILLION, BLACK)


class Pen(NamedTuple):
    """The look of one model in every figure."""

    colour: str
    dash: str
    width: float
    marker: str


PENS = {
    "derived": Pen(VERMILLION, "-", 2.2, "*"),
    "supernet": Pen(GREY, "-", 1.4, "D"),
    "unet": Pen(BLACK, "-", 1.4, "o"),
    "fastmri_unet": Pen(BLACK, "--", 1.4, "s"),
    "dccnn": Pen(GREEN, "-", 1.4, "o"),
    "dccnn_11": Pen(GREEN, "--", 1.4, "s"),
    "modl": Pen(PURPLE, "-", 1.4, "o"),
    "modl_11": Pen(PURPLE, "--", 1.4, "s"),
    "rdn": Pen(BLUE, "-", 1.4, "o"),
    "rdn_8": Pen(BLUE, "--", 1.4, "s"),
    "unet2d": Pen(BLACK, "-", 1.4, "o"),
    "bix_unet": Pen(GREEN, "-", 1.4, "o"),
    "ms_nas": Pen(PURPLE, "-", 1.4, "o"),
    "hw_nas": Pen(BLUE, "-", 1.4, "o"),
}
SPARE_COLOURS, SPARE_DASHES = (SKY, BROWN, ORANGE), ("-", "--", ":", "-.")
STRATEGY_COLOURS = {
    "non_fed": BLACK,
    "fedavg": BLUE,
    "fedprox": GREEN,
    "fedmri": PURPLE,
    "fedautomri": VERMILLION,
    "fedavgm": SKY,
    "fedadam": ORANGE,
    "scaffold": BROWN,
}
SEARCHED_STROKE = ("-", 2.2, "*")
STROKES = (("--", 1.4, "o"), (":", 1.8, "s"), ("-.", 1.4, "D"), ("-", 0.9, "^"))
CLIENT_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BROWN, BLACK)


def check_drawing() -> None:
    """Raises UserError where Matplotlib finds no folder for its list of fonts, not even a temporary
    one."""
    try:
        importlib.import_module("matplotlib.font_manager")
    except OSError as error:
        raise UserError(f"figures cannot be drawn: {error}") from error


def styled(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a drawing function under `RC`, leaving the caller's Matplotlib settings alone."""

    @functools.wraps(draw)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        import matplotlib

        with matplotlib.rc_context(RC):
            return draw(*args, **kwargs)

    return wrapper


def new_figure(width: float, height: float) -> "Figure":
    """An empty Agg figure of `width` × `height` inches that pyplot never hears of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


@styled
def to_png(figure: "Figure", *, dpi: int = 150) -> bytes:
    """The figure as PNG bytes, trimmed to what is drawn."""
    names_as_written(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.08)
    return buffer.getvalue()


def names_as_written(figure: "Figure") -> None:
    """Shows the dollars in names of files and clients; only what is `MATHS` is mathematics."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if "$" in MATHS.sub("", text.get_text()):
            text.set_parse_math(False)


def operation_colours(names: Iterable[str]) -> dict[str, str]:
    """One colour per operation: the same name has the same colour in every figure and run."""
    names = list(dict.fromkeys(names))
    taken = {OPERATION_COLOURS[name] for name in names if name in OPERATION_COLOURS}
    free = [colour for colour in FALLBACK if colour not in taken] or list(FALLBACK)
    unknown = [name for name in names if name not in OPERATION_COLOURS]
    extra = {name: free[i % len(free)] for i, name in enumerate(unknown)}
    return {name: OPERATION_COLOURS.get(name, extra.get(name, GREY)) for name in names}


def pens(methods: Iterable[str]) -> dict[str, Pen]:
    """One pen per method, the same in every figure and run for the names known here.

    At one site a family of models shares a colour and its larger member is dashed. Across clients
    the colour says the strategy, dash and marker the model. Other names follow in turn.
    """
    methods = list(dict.fromkeys(methods))
    plain = _model_pens([method for method in methods if "/" not in method])
    return plain | _strategy_pens([method for method in methods if "/" in method])


def client_colours(clients: Iterable[str]) -> dict[str, str]:
    """One colour per client; a crowd, which no palette tells apart, is `CROWD` throughout."""
    clients = list(dict.fromkeys(clients))
    if len(clients) > len(CLIENT_COLOURS):
        return dict.fromkeys(clients, CROWD)
    return dict(zip(clients, CLIENT_COLOURS))


def _model_pens(names: list[str]) -> dict[str, Pen]:
    unknown = [name for name in names if name not in PENS]
    turns = {name: divmod(i, len(SPARE_COLOURS)) for i, name in enumerate(unknown)}
    spare = {
        name: Pen(SPARE_COLOURS[colour], SPARE_DASHES[turn % 4], 1.4, "vPXd"[turn % 4])
        for name, (turn, colour) in turns.items()
    }
    return {name: PENS.get(name) or spare[name] for name in names}


def _strategy_pens(methods: list[str]) -> dict[str, Pen]:
    pairs = {method: tuple(method.split("/", 1)) for method in methods}
    models = dict.fromkeys(model for model, _ in pairs.values() if model != "derived")
    strokes = {model: STROKES[i % len(STROKES)] for i, model in enumerate(models)}
    labels = list(dict.fromkeys(label for _, label in pairs.values()))
    taken = {STRATEGY_COLOURS[label] for label in labels if label in STRATEGY_COLOURS}
    free = [colour for colour in FALLBACK if colour not in taken] or FALLBACK
    others = [label for label in labels if label not in STRATEGY_COLOURS]
    spare = {label: free[i % len(free)] for i, label in enumerate(others)}
    return {
        method: Pen(
            STRATEGY_COLOURS.get(label) or spare[label], *strokes.get(model, SEARCHED_STROKE)
        )
        for method, (model, label) in pairs.items()
    }


def even_columns(count: int, *, most: int = 6) -> int:
    """Columns, at most `most`, in which `count` things fill rows of nearly equal length."""
    rows = -(-count // most)
    return -(-count // max(rows, 1)) or 1


def input_name(index: int, *, inputs: int = 2) -> str:
    """A cell tensor by its genotype index: the inputs come first, then node 1, 2, …"""
    names = {1: ("$X_0$",), 2: ("$C_{l-2}$", "$C_{l-1}$")}[inputs]
    return names[index] if index < inputs else f"node {index - inputs + 1}"


class Plan(NamedTuple):
    """The report section of a figure, its file name, its caption, and how to draw it."""

    section: str
    name: str
    caption: str
    draw: Callable[[], "Figure"]
