"""Registries: what they hold of their own, and what installed packages add."""

import sys
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from jaxnas.core.config import TASKS
from jaxnas.core.errors import UserError
from jaxnas.core.registry import Entry, OneOf, Registry
from jaxnas.data.registry import LABELED_LAYOUTS, LABELED_READERS, LAYOUTS, READERS
from jaxnas.fed.registry import STRATEGIES
from jaxnas.models.registry import LABEL_MODELS, MODELS
from jaxnas.ops.candidates import OPERATIONS
from jaxnas.ops.registry import NORM_OPERATIONS
from jaxnas.reconstruction.section import LOSSES as IMAGE_LOSSES
from jaxnas.search.registry import DECODERS, METHODS
from jaxnas.segmentation.section import LOSSES as LABEL_LOSSES
from jaxnas.spaces.registry import SPACES, TWO_LEVEL_SPACES

REGISTRIES = {
    "tasks": TASKS,
    "readers": READERS,
    "labeled_readers": LABELED_READERS,
    "layouts": LAYOUTS,
    "labeled_layouts": LABELED_LAYOUTS,
    "operations": OPERATIONS,
    "norm_operations": NORM_OPERATIONS,
    "spaces": SPACES,
    "two_level_spaces": TWO_LEVEL_SPACES,
    "models": MODELS,
    "label_models": LABEL_MODELS,
    "methods": METHODS,
    "decoders": DECODERS,
    "strategies": STRATEGIES,
    "image losses": IMAGE_LOSSES,
    "label losses": LABEL_LOSSES,
}
OPEN = {name: registry for name, registry in REGISTRIES.items() if registry.group}
GIVEN = "OBJECT = object()\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package of one module, as pip would, with entry points in a group."""

    def install(group, points, *, module=GIVEN, package="visitor"):
        (tmp_path / f"{package}_module.py").write_text(module)
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {package}_module:{target}" for name, target in points.items()]
        (folder / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, f"{package}_module", raising=False)

    return install


def reread(registry):
    """The registry as another process would find it."""
    return Registry(registry.kind, registry.own, group=registry.group)


def reads(registry, **besides):
    return TypeAdapter(Annotated[str, OneOf(registry, **besides)])


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
def test_every_name_stands_for_something(registry):
    for name in registry:
        assert registry[name] is not None
        assert registry.title(name)
    assert "no such" not in registry and registry.title("no such") == "no such"
    assert registry.names[: len(registry.own)] == tuple(registry.own)
    with pytest.raises(KeyError):
        registry["no such"]


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
def test_a_config_may_say_what_it_holds_and_nothing_else(registry):
    adapter = reads(registry)
    assert [adapter.validate_python(name) for name in registry] == [*registry]
    assert adapter.json_schema() == {"type": "string", "enum": [*registry]}
    for wrong in ("no such", 1, None, ["a"]):
        with pytest.raises(ValidationError, match="Input should be '"):
            adapter.validate_python(wrong)


@pytest.mark.parametrize("label", OPEN)
def test_a_package_adds_a_name(label, install):
    assert OPEN[label].group == f"jaxnas.{label}"
    install(OPEN[label].group, {"theirs": "OBJECT"})
    registry = reread(OPEN[label])
    assert registry.names == tuple(registry) == (*registry.own, "theirs")
    assert registry["theirs"] is registry["theirs"] and registry.title("theirs") == "theirs"
    assert reads(registry).validate_python("theirs") == "theirs"


@pytest.mark.parametrize("label", OPEN)
def test_a_package_that_cannot_be_imported_is_named(label, install, capsys):
    install(OPEN[label].group, {"theirs": "OBJECT"}, module="import nowhere_to_be_found\n")
    registry = reread(OPEN[label])
    assert list(registry) == list(registry.own)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("jaxnas: warning: package visitor cannot be")
    assert "No module named 'nowhere_to_be_found'" in said and "'theirs'" in said
    with pytest.raises(UserError, match="'theirs': package visitor cannot be imported"):
        registry["theirs"]
    with pytest.raises(ValidationError, match="package visitor cannot be imported"):
        reads(registry).validate_python("theirs")


@pytest.mark.parametrize("label", OPEN)
def test_a_built_in_name_is_not_replaced(label, install, capsys):
    taken = next(iter(OPEN[label].own))
    install(OPEN[label].group, {taken: "OBJECT"}, package="usurper")
    registry = reread(OPEN[label])
    assert list(registry) == list(registry.own)
    assert registry[taken] is OPEN[label][taken]
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "package usurper" in said and repr(taken) in said


def test_a_title_is_that_of_the_object(install):
    install("jaxnas.spaces", {"a": "Named"}, module="class Named:\n    title = 'A space'\n")
    assert reread(SPACES).title("a") == "A space"


def test_names_beside_a_registry():
    adapter = reads(Registry("kind", {"b": Entry(1)}), besides=("a",))
    assert adapter.validate_python("a") == "a"
    with pytest.raises(ValidationError, match="Input should be 'a' or 'b'"):
        adapter.validate_python("c")
