"""The rooms stand in one order and import only to the left."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import jaxnas

pytestmark = pytest.mark.quick

ORDER = [
    "core",
    "mri",
    "metrics",
    "data",
    "ops",
    "spaces",
    "models",
    "engine",
    "search",
    "fed",
    "reconstruction",
    "segmentation",
    "report",
    "stages",
    "cli",
]
STRANGERS = ({"mri", "metrics", "data"}, {"reconstruction", "segmentation"})
ROOT = Path(jaxnas.__path__[0])
FILES = sorted(ROOT.glob("*/*.py"))


def imports(path):
    """(module, line) of every import in a file, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def inner(path):
    """The modules of the product that a file imports."""
    known = {module_name(other) for other in FILES}
    for module, _ in imports(path):
        yield from {module, module.rpartition(".")[0]} & known


def module_name(path):
    return ".".join(("jaxnas", *path.relative_to(ROOT).with_suffix("").parts))


def is_call(node):
    return isinstance(node, ast.Call)


def test_rooms_are_known():
    assert {path.parent.name for path in FILES} <= set(ORDER)
    assert len(FILES) > 30


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_imports_point_left(path):
    room = path.parent.name
    allowed = set(ORDER[: ORDER.index(room) + 1])
    for strangers in STRANGERS:
        if room in strangers:
            allowed -= strangers - {room}
    for module, line in imports(path):
        parts = module.split(".")
        if parts[0] == "jaxnas" and len(parts) > 1 and parts[1] in ORDER:
            assert parts[1] in allowed, f"{path}:{line}: {room} may not import {module}"
        if room == "data":
            assert parts[0] not in {"jax", "flax"}, f"{path}:{line}: data never imports {parts[0]}"


def test_no_circles():
    """Not inside a room either, nor by an import inside a function."""
    graph = {module_name(path): set(inner(path)) for path in FILES}
    TopologicalSorter(graph).prepare()  # CycleError names the modules of a circle


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_convolution_has_one_home(path):
    if path.parent.name != "ops":
        text = path.read_text()
        assert "lax.conv" not in text and "nn.Conv(" not in text


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_the_terminal_has_one_home(path):
    """`core.console`, for rich takes square brackets for markup unless it is told otherwise."""
    if path.name not in ("console.py", "notices.py"):
        assert "rich" not in {module.split(".")[0] for module, _ in imports(path)}
        calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if is_call(node))
        assert "print" not in {call.id for call in calls if isinstance(call, ast.Name)}


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_warnings_have_one_home(path):
    """`notices.warn`: Python's `warnings` has filters, and prints two lines of source code."""
    assert "warnings" not in {module.split(".")[0] for module, _ in imports(path)}
