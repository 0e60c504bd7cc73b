"""Configs: YAML with line numbers → typed overrides → one validated, frozen `Experiment`.

Every error of a file is reported at once, each with its file, line and key.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from jaxnas.core.errors import UserError
from jaxnas.core.explain import explain
from jaxnas.core.notices import warn
from jaxnas.core.registry import Entry, Registry
from jaxnas.core.sections import Experiment, keepers
from jaxnas.core.yaml_values import Key, Origins, Written, read_file, read_text, shorten

# The class of a task's whole config.
TASKS = Registry(
    "task",
    {
        "reconstruction": Entry("jaxnas.reconstruction.section:ReconstructionConfig"),
        "segmentation": Entry("jaxnas.segmentation.section:SegmentationConfig"),
    },
    group="jaxnas.tasks",
)


def load_config(path: str | Path, *, overrides: Sequence[str] = ()) -> Experiment:
    """Reads the YAML file at `path` and applies `a.b=value` overrides.

    A top-level `base: other.yaml` (relative to the file) is read first and overridden key by key.
    Raises UserError naming file:line and key for every unknown key, duplicate key, wrong type
    and value out of bounds; what may be said depends on its `task`.

    >>> import pathlib, tempfile
    >>> import jaxnas
    >>> file = pathlib.Path(tempfile.mkdtemp(), "mine.yaml")
    >>> _ = file.write_text("search: {steps: 5}")
    >>> jaxnas.load_config(file, overrides=["seed=3"]).seed
    3
    """
    path = Path(path)
    values, origins = _read(path, seen=())
    for item in overrides:
        _override(values, origins, item)
    config = _validated(values, origins, str(path))
    _say_who_stays(config, overrides)
    return config if config.name else config.model_copy(update={"name": path.stem})


def make_config(values: Mapping[str, Any], *, overrides: Sequence[str] = ()) -> Experiment:
    """The config of `values`, sections as nested mappings, with `a.b=value` overrides.

    UserError as `load_config`, but for the lines.

    >>> import jaxnas
    >>> jaxnas.make_config({"search": {"steps": 5}}).search.steps
    5
    """
    copied, origins = _plain(values), {}
    for item in overrides:
        _override(copied, origins, item)
    return _validated(copied, origins, "config")


def dump_config(config: Experiment) -> str:
    """The resolved config as YAML; loading it again gives an equal config."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _plain(value: Any) -> Any:
    """Nested values with lists for tuples and text for paths, as YAML writes them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _validated(values: dict, origins: Origins, where: str) -> Experiment:
    schema = _schema(values, origins, where)
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, schema, values, origins, where)) from None


def _say_who_stays(config: Experiment, overrides: Sequence[str]) -> None:
    """Warns of clients whose data do not move with the overridden path of the config's data."""
    moved = [item for item in overrides if item.partition("=")[0] == "data.path"]
    if moved and (names := keepers(config)):
        warn(
            f"--set {shorten(moved[-1])}: does not move {', '.join(names)}, whose data have paths "
            f"of their own; --set root=FOLDER is the folder of all relative ones"
        )


def _read(path: Path, seen: tuple[Path, ...]) -> tuple[dict, Origins]:
    """The values of a config file over those of its base."""
    if path.resolve() in seen:
        raise UserError(f"{path}: base files form a circle; remove one `base:`")
    values, origins = read_file(path)
    base = values.pop("base", None)
    if base is None:
        return values, origins
    if not isinstance(base, str):
        raise UserError(
            f"{origins[('base',)].where}: base: expected the name of a config file, found {base!r}"
        )
    under, under_origins = _read(path.parent / base, (*seen, path.resolve()))
    _merge(under, values, under_origins, ())
    return under, under_origins | origins


def _merge(under: dict, over: dict, origins: Origins, key: Key) -> None:
    """Writes `over` into `under`; mappings merge, everything else is replaced, its origins too."""
    for name, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(name), dict):
            _merge(under[name], value, origins, (*key, name))
        else:
            under[name] = value
            _forget(origins, (*key, name))


def _forget(origins: Origins, key: Key) -> None:
    """Drops the origins of what stood at `key` and below."""
    for other in [other for other in origins if other[: len(key)] == key]:
        del origins[other]


def _override(values: dict, origins: Origins, item: str) -> None:
    """Applies one `a.b=value`; the value is read as YAML."""
    origin = f"--set {shorten(item)}"
    dotted, equals, text = item.partition("=")
    *parents, last = key = tuple(dotted.split("."))
    if not equals or not all(key):
        raise UserError(f"{origin}: expected KEY=VALUE, such as search.steps=100")
    target = values
    for depth, name in enumerate(parents, start=1):
        origins.setdefault(key[:depth], Written(origin))
        if target.get(name) is None:
            target[name] = {}
        target = target[name]
        if isinstance(target, list):
            section = ".".join(key[:depth])
            raise UserError(
                f"{origin}: {section} is a list; give the whole list, as --set '{section}=[...]'"
            )
        if not isinstance(target, dict):
            raise UserError(f"{origin}: {name} is a value, not a section")
    target[last], inner = read_text(key, text, lambda line: origin, path=origin)
    _forget(origins, key)
    origins.update({key: Written(origin)} | inner)


def _schema(values: dict, origins: Origins, path: str) -> type[Experiment]:
    task = values.get("task", "reconstruction")
    if isinstance(task, str) and task in TASKS:
        return TASKS[task]
    where = origins.get(("task",), Written(path)).where
    if isinstance(task, str) and task in TASKS.broken:
        raise UserError(f"{where}: task: {TASKS.broken[task]}")
    raise UserError(f"{where}: task: expected {' or '.join(TASKS)}, found {task!r}")
