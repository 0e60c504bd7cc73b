"""Configs: YAML with line numbers → typed overrides → one validated, frozen `Config`.

Every error of a file is reported at once, each with its file, line and key.
"""

import difflib
import hashlib
import json
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from jaxnas.core.errors import UserError
from jaxnas.core.schema import Config
from jaxnas.core.segmentation_schema import SegmentationConfig

AnyConfig = Config | SegmentationConfig
SCHEMAS = {"reconstruction": Config, "segmentation": SegmentationConfig}

Key = tuple[str | int, ...]
Origins = dict[Key, str]


def load_config(path: str | Path, *, overrides: Sequence[str] = ()) -> AnyConfig:
    """Reads the YAML file at `path` and applies `a.b=value` overrides.

    A top-level `base: other.yaml` (relative to the file) is read first and overridden key by key.
    Raises UserError naming file:line and key for every unknown key, duplicate key, wrong type
    and value out of bounds; what may be said depends on its `task`.
    """
    path = Path(path)
    values, origins = _read(path, seen=())
    for item in overrides:
        _override(values, origins, item)
    schema = _schema(values, origins, str(path))
    try:
        config = schema.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(error, schema, origins, str(path))) from None
    return config if config.name else config.model_copy(update={"name": path.stem})


def dump_config(config: AnyConfig) -> str:
    """The resolved config as YAML; loading it again gives an equal config."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def fingerprint(config: AnyConfig) -> str:
    """Ten hex digits that change when any value changes."""
    text = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _read(path: Path, seen: tuple[Path, ...]) -> tuple[dict, Origins]:
    """Values of a YAML file and, for every key path, where it was written."""
    if path.resolve() in seen:
        raise UserError(f"{path}: base files form a circle; remove one `base:`")
    try:
        text = path.read_text()
    except OSError as error:
        raise UserError(f"{path}: cannot read the config ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file; expected a YAML config") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "unreadable"
        raise UserError(f"{path}{line}: not valid YAML ({problem})") from None
    if node is None:
        return {}, {}
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{path}:1: expected `key: value` lines at the top level")
    origins: Origins = {}
    values = _build(node, (), origins, path)
    base = values.pop("base", None)
    if base is None:
        return values, origins
    under, under_origins = _read(path.parent / str(base), (*seen, path.resolve()))
    _merge(under, values)
    return under, under_origins | origins


def _build(node: yaml.Node, key: Key, origins: Origins, path: Path) -> Any:
    """The plain value of a YAML node; duplicate keys are refused, lines are remembered."""
    origins[key] = f"{path}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*key, i), origins, path) for i, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node)
    result: dict[str, Any] = {}
    for name_node, child in node.value:
        name, line = str(name_node.value), name_node.start_mark.line + 1
        if name in result:
            first = origins[(*key, name)].rsplit(":", 1)[1]
            raise UserError(
                f"{path}:{line}: {_dotted((*key, name))}: written twice (first on line {first}); "
                f"keep one"
            )
        result[name] = _build(child, (*key, name), origins, path)
        origins[(*key, name)] = f"{path}:{line}"
    return result


def _scalar(node: yaml.Node) -> Any:
    """A scalar as YAML reads it, except that 1e-3 is a number."""
    value = yaml.SafeLoader("").construct_object(node, deep=True)
    if isinstance(value, str) and node.style is None:
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _merge(under: dict, over: dict) -> None:
    """Writes `over` into `under`; mappings merge, everything else is replaced."""
    for name, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(name), dict):
            _merge(under[name], value)
        else:
            under[name] = value


def _override(values: dict, origins: Origins, item: str) -> None:
    """Applies one `a.b=value`; the value is read as YAML."""
    origin = f"--set {item}"
    dotted, equals, text = item.partition("=")
    if not equals or not dotted:
        raise UserError(f"{origin}: expected KEY=VALUE, such as search.steps=100")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        raise UserError(f"{origin}: the value is not valid YAML") from None
    *parents, last = key = tuple(dotted.split("."))
    target = values
    for depth, name in enumerate(parents, start=1):
        origins.setdefault(key[:depth], origin)
        target = target.setdefault(name, {})
        if not isinstance(target, dict):
            raise UserError(f"{origin}: {name} is a value, not a section")
    inner: Origins = {}
    target[last] = None if node is None else _build(node, key, inner, Path("--set"))
    origins.update(dict.fromkeys([*inner, key], origin))


def _schema(values: dict, origins: Origins, path: str) -> type[AnyConfig]:
    task = values.get("task", "reconstruction")
    if task not in SCHEMAS:
        where = origins.get(("task",), path)
        raise UserError(f"{where}: task: expected {' or '.join(SCHEMAS)}, found {task!r}")
    return SCHEMAS[task]


def _explain(error: ValidationError, schema: type, origins: Origins, path: str) -> str:
    """One line per problem: where: key: what is wrong (what was found)."""
    return "\n".join(_line(problem, schema, origins, path) for problem in error.errors())


def _line(problem: Any, schema: type, origins: Origins, path: str) -> str:
    key = tuple(problem["loc"])
    where = next((origins[key[:n]] for n in range(len(key), 0, -1) if key[:n] in origins), path)
    label = _dotted(key) or "config"
    if problem["type"] == "extra_forbidden":
        fields = list(_fields(schema, key[:-1]))
        close = difflib.get_close_matches(str(key[-1]), fields, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(fields)}"
        return f"{where}: {label}: unknown key; {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{where}: {label}: {message}"
    return f"{where}: {label}: {message} (found {problem['input']!r})"


def _fields(schema: type, key: Key) -> Sequence[str]:
    """Field names of the section of `schema` at `key`."""
    section: Any = schema
    for name in key:
        annotation = section.model_fields[str(name)].annotation
        options = (annotation, *typing.get_args(annotation))
        section = next(t for t in options if isinstance(t, type) and issubclass(t, BaseModel))
    return tuple(section.model_fields)


def _dotted(key: Key) -> str:
    """('a', 'b', 0) → 'a.b[0]'."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in key]
    return "".join(parts).removeprefix(".")
