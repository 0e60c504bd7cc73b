"""The conventions of the public interface, held by a test instead of a reviewer."""

import ast
import importlib
import inspect
import pkgutil
from collections import defaultdict
from pathlib import Path

import pytest

import jaxnas

pytestmark = pytest.mark.quick

ROOT = Path(jaxnas.__path__[0])
MODULES = sorted(
    m.name for m in pkgutil.walk_packages([str(ROOT)], "jaxnas.") if m.name != "jaxnas.__main__"
)
COMMANDS = "jaxnas.cli.app"  # typer reads defaults as options, they cannot be keyword-only


def members(kind):
    """Every public function or class, under the name of the module that defines it."""
    return [
        pytest.param(member, id=f"{name.removeprefix('jaxnas.')}.{label}")
        for name in MODULES
        for label, member in inspect.getmembers(importlib.import_module(name), kind)
        if member.__module__ == name and not label.startswith("_")
    ]


@pytest.mark.parametrize("function", members(inspect.isfunction))
def test_public_function(function):
    assert function.__doc__, "needs a docstring"
    if function.__module__ == COMMANDS:
        return
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert "key" not in [p.name for p in positional[1:]], "`key` comes first"
    for p in parameters:
        assert p.kind is not p.VAR_KEYWORD, f"**{p.name} hides what the function takes"
        if p.default is not p.empty:
            assert p.kind is p.KEYWORD_ONLY, f"`{p.name}`: defaults are keyword-only"


@pytest.mark.parametrize("cls", members(inspect.isclass))
def test_public_class(cls):
    assert cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}("), "needs a docstring"


QUESTIONS = {"What", "Who", "How", "Which", "Whether", "Where", "When", "Why"}
# The same part of two tasks has the same name in the same file of their rooms.
TASK_ROOMS = {"reconstruction", "segmentation"}


def public_names(path):
    """The public names that a file defines at its top level."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found = [node.name]
        else:
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            found = [target.id for target in targets if isinstance(target, ast.Name)]
        yield from (name for name in found if not name.startswith("_"))


def test_no_public_name_has_two_meanings():
    places = defaultdict(set)
    for path in [path for path in ROOT.rglob("*.py") if path != ROOT / "cli" / "app.py"]:
        for name in public_names(path):
            places[name].add(path.relative_to(ROOT))
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert {name: found for name, found in twice.items() if not of_two_tasks(found)} == {}


def of_two_tasks(paths):
    rooms, files = {path.parent.name for path in paths}, {path.name for path in paths}
    return rooms == TASK_ROOMS and len(files) == 1


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: p.name)
def test_docstrings_begin_with_a_verb_or_a_noun(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = (ast.get_docstring(node) or "A").split()[0].strip(",:;.")
            assert first not in QUESTIONS, f"{path}:{getattr(node, 'lineno', 1)}: {first} …"


@pytest.mark.parametrize("name", MODULES)
def test_module_has_a_docstring(name):
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: p.name)
def test_file_is_short(path):
    assert len(path.read_text().splitlines()) <= 400
