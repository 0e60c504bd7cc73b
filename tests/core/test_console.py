"""Text from files is shown as it is, in lines, tables and the progress bar."""

import io

import pytest
from rich.console import Console

from jaxnas.core import console
from jaxnas.engine.loop import ProgressBar

NAMES = ["[red]scan[/red]", "[/]", "[/x]", "[bold", "a]b[c", "<b>&amp;", ":smile:", r"\[x]", "$a$"]
ESCAPES = {"\x1b[31mred\x1b[0m": r"\x1b[31mred\x1b[0m", "two\nlines": r"two\nlines"}


@pytest.mark.parametrize("name", [*NAMES, *ESCAPES])
def test_tables_show_names_in_full(name, capsys):
    console.show_table([name, "b"], [[name, "1"], ["x" * 300, name]])
    out = capsys.readouterr().out
    assert out.count(ESCAPES.get(name, name)) == 3 and "x" * 300 in out
    assert len({len(line) for line in out.splitlines()}) == 1  # a row is a line


@pytest.mark.parametrize("name", NAMES)
def test_lines_show_names_in_full(name, capsys):
    console.show(f"{name}: found")
    assert capsys.readouterr().out == f"{name}: found\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_progress_bar_shows_names_in_full(name, monkeypatch):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=200, color_system=None)
    monkeypatch.setattr(console, "Console", lambda *, stderr: terminal)
    with ProgressBar(f"train {name}", 0, 2) as bar:
        bar.advance()
        bar.note({f"loss{name.replace('/', '')}": 0.5})
    assert f"train {name}" in screen.getvalue()
    assert f"loss{name.replace('/', '')} 0.5" in screen.getvalue()


def test_a_terminal_folds_what_does_not_fit(monkeypatch):
    screen = io.StringIO()
    narrow = Console(file=screen, force_terminal=True, width=40, color_system=None)
    monkeypatch.setattr(console, "Console", lambda: narrow)
    console.show_table(["name"], [["ab" * 50]])
    assert screen.getvalue().count("ab") >= 45 and "…" not in screen.getvalue()
