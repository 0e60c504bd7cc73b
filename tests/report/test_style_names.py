"""Names in figures are shown as written: a dollar of a file name is no mathematics."""

import importlib

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.report import style


@style.styled
def titled(*titles):
    """A figure with a logarithmic axis and the given titles."""
    figure = style.new_figure(3, 3)
    axes = figure.subplots()
    axes.plot([1, 10, 100], [1, 10, 100])
    axes.set(xscale="log", title="\n".join(titles))
    axes.set_yticks([1, 50], [titles[0], "other"])
    axes.text(2, 50, style.input_name(0) + " → node 1")
    return figure


@pytest.mark.parametrize(
    "name", [r"a$b$c", r"$\frac{$", r"T1 $\alpha$ [x]", "$", "$$", r"$X_0$ $y$"]
)
def test_dollars_are_drawn(name):
    figure = titled(name)
    assert style.to_png(figure)[:4] == b"\x89PNG"
    axes = figure.axes[0]
    assert not axes.title.get_parse_math() and axes.title.get_text() == name
    assert not axes.get_yticklabels()[0].get_parse_math()


def test_cell_tensors_and_logarithmic_ticks_stay_mathematics():
    figure = titled("plain")
    style.to_png(figure)
    axes = figure.axes[0]
    assert axes.texts[0].get_parse_math()
    ticks = [t for t in axes.get_xticklabels() if "mathdefault" in t.get_text()]
    assert ticks and all(t.get_parse_math() for t in ticks)
    assert np.isfinite(axes.get_xlim()).all()


def test_a_place_without_any_folder_for_fonts_is_one_line(monkeypatch):
    def refuse(name):
        raise OSError("Matplotlib requires access to a writable cache directory; set MPLCONFIGDIR")

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(UserError, match=r"figures cannot be drawn: .*set MPLCONFIGDIR"):
        style.check_drawing()
