"""No message advises what loses work without saying so."""

import ast
from pathlib import Path

import pytest

import jaxnas
from jaxnas.core.errors import START_OVER

ROOT = Path(jaxnas.__path__[0])
FILES = sorted(ROOT.rglob("*.py"))


def texts(path):
    """Every text that a file puts together, with the constants of `errors` in it: (line, text)."""
    tree = ast.parse(path.read_text())
    parts = {child for node in ast.walk(tree) for child in inner(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr | ast.Constant) and node not in parts:
            yield node.lineno, text_of(node)


def inner(node):
    return node.values if isinstance(node, ast.JoinedStr) else []


def text_of(node):
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text_of, node.values))
    if isinstance(node, ast.FormattedValue):
        return START_OVER if ast.unparse(node.value) == "START_OVER" else "{}"
    return node.value if isinstance(node.value, str) else ""


ADVICE = [
    pytest.param(path, text, id=f"{path.relative_to(ROOT)}:{line}")
    for path in FILES
    for line, text in texts(path)
    if "--fresh" in text and path.name not in ("app.py", "options.py", "errors.py")
]


def test_there_is_advice():
    assert len(ADVICE) >= 4 and "deletes what this run holds" in START_OVER


@pytest.mark.parametrize(("path", "text"), ADVICE)
def test_advice_to_start_over_says_what_it_costs(path, text):
    """And what keeps the work comes first."""
    if START_OVER in text:
        assert "another --workdir" in text.partition(START_OVER)[0]
    else:
        assert "--fresh throws away" in text or "--fresh will not delete it" in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_says_start_over_in_other_words(path):
    for _, text in texts(path):
        assert "start again" not in text and "start over with" not in text
