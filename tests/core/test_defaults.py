"""Defaults belong to the place: a section given in part keeps those of where it stands."""

import copy
import typing
from pathlib import Path

import pytest
from pydantic import ValidationError

from jaxnas.core.config import TASKS, dump_config, load_config
from jaxnas.core.registry import OneOf
from jaxnas.core.sections import Section

# Values to try for a key, whatever its type: the first new one that is allowed is taken.
OTHERS = (True, False, 3, 2, 1, 4, 0.25, 0.75, "::2", "other", (0.25,), (0.25, 0.5), (1.5, 97.0))
OTHERS += ((64, 96), (2,), ("other",), ("conv_3x3", "skip_connect"))


def whole(task):
    return TASKS[task].model_validate({"task": task})


def places(section, path=()):
    """(path, default) of every section below `section` that has a default."""
    for name, value in section:
        if isinstance(value, Section):
            yield (*path, name), value
            yield from places(value, (*path, name))


KEYS = [
    pytest.param(task, path, key, id=".".join((task[0], *path, key)))
    for task in TASKS
    for path, default in places(whole(task))
    for key in type(default).model_fields
    if not isinstance(getattr(default, key), Section)
]


def outcome(task, values):
    """What becomes of a config: itself, or what is wrong with it."""
    try:
        return TASKS[task].model_validate({"task": task} | values)
    except ValidationError as error:
        return [(problem["type"], problem["loc"], problem["msg"]) for problem in error.errors()]


def in_full(task, path, key, value):
    """A config that says everything, with `value` at `key` of the section at `path`."""
    values = copy.deepcopy(whole(task).model_dump())
    section, default = values, whole(task)
    for name in path:
        section, default = section[name], getattr(default, name)
    for group in default.alternatives:
        if key in group:
            section.update(dict.fromkeys(group))
    section[key] = value
    return values


def in_part(path, key, value):
    """A config that says nothing else."""
    values = {key: value}
    for name in reversed(path):
        values = {name: values}
    return values


def choices(annotation):
    """The texts of a Literal or of a registry, wherever it stands in an annotation."""
    if isinstance(annotation, OneOf):
        return [*annotation.besides, *annotation.registry]
    inner = (*typing.get_args(annotation), *getattr(annotation, "__metadata__", ()))
    return [t for i in inner for t in choices(i)] if inner else [annotation]


def another(task, path, key):
    """A value of `key` that is not its default: allowed, or at least not by its type alone."""
    section = whole(task)
    for name in path:
        section = getattr(section, name)
    field = type(section).model_fields[key]
    found = (t for part in (field.annotation, *field.metadata) for t in choices(part))
    texts = [t for t in found if isinstance(t, str)]
    refused = []
    for value in (*texts, *((text,) for text in texts), *OTHERS):
        if value == getattr(section, key):
            continue
        found = outcome(task, in_full(task, path, key, value))
        if not isinstance(found, list):
            return value
        if all(kind == "value_error" for kind, _, _ in found):
            refused.append(value)
    return refused[0] if refused else None


def test_there_are_keys_to_look_at():
    assert {"r.search.alphas.clip", "s.train.optimizer.rate", "r.data.split.train"} <= {
        key.id for key in KEYS
    }


@pytest.mark.parametrize(("task", "path", "key"), KEYS)
def test_a_single_key_changes_nothing_else(task, path, key):
    value = another(task, path, key)
    if value is None:
        assert (key, task) == ("space", "segmentation")  # there is only one
        return
    found = outcome(task, in_part(path, key, value))
    assert found == outcome(task, in_full(task, path, key, value))
    assert found != whole(task)


@pytest.mark.parametrize("task", TASKS)
def test_an_empty_section_is_the_default_of_its_place(task):
    for path, _ in places(whole(task)):
        assert outcome(task, in_part(path[:-1], path[-1], {})) == whole(task)


def test_of_alternatives_the_one_that_is_given_counts():
    config = outcome("reconstruction", {"train": {"epochs": 3}})
    assert (config.train.epochs, config.train.steps) == (3, None)
    (problem,) = outcome("reconstruction", {"train": {"epochs": 3, "steps": 5}})
    assert "found steps=5 and epochs=3" in problem[2]
    (problem,) = outcome("reconstruction", {"train": {"steps": None}})
    assert "found neither" in problem[2]
    assert outcome("reconstruction", {"train": {"epochs": None}}).train.steps == 1000


def test_null_means_null():
    config = outcome("segmentation", {"search": {"alphas": {"clip": None}}})
    assert config.search.alphas.clip is None and config.search.alphas.betas == (0.5, 0.999)
    (problem,) = outcome("segmentation", {"search": {"alphas": None}})
    assert problem[1] == ("search", "alphas")


@pytest.mark.parametrize("task", TASKS)
def test_files_overrides_and_bases_keep_the_defaults_of_the_place(task, tmp_path):
    (tmp_path / "base.yaml").write_text(f"task: {task}\nsearch: {{alphas: {{rate: 1e-2}}}}\n")
    (tmp_path / "some.yaml").write_text("base: base.yaml\nsearch: {weights: {clip: 2}}\n")
    config = load_config(tmp_path / "some.yaml", overrides=["train.optimizer.rate=3e-3"])
    default = whole(task)
    for section, default_section, change in (
        (config.search.alphas, default.search.alphas, {"rate": 1e-2}),
        (config.search.weights, default.search.weights, {"clip": 2.0}),
        (config.train.optimizer, default.train.optimizer, {"rate": 3e-3}),
    ):
        assert section == default_section.model_copy(update=change)
    (tmp_path / "again.yaml").write_text(dump_config(config))
    again = load_config(tmp_path / "again.yaml")
    assert again == config and dump_config(again) == dump_config(config)


SHIPPED = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_searches_move_the_alphas_as_documented(path, tmp_path):
    """At rates of their own; and what a run records of a config is that config."""
    config = load_config(path)
    documented = whole(config.task).search.alphas
    assert config.search.alphas == documented.model_copy(update={"rate": config.search.alphas.rate})
    assert (documented.betas, documented.weight_decay) == ((0.5, 0.999), 1e-3)
    (tmp_path / "again.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "again.yaml") == config
