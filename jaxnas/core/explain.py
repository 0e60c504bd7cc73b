"""The problems of a config, one line each: where: key: what is wrong (what was found)."""

import difflib
import typing
from datetime import date
from typing import Any

from pydantic import ValidationError

from jaxnas.core.sections import Section
from jaxnas.core.yaml_values import Key, Origins, Written, dotted, shorten


def explain(error: ValidationError, schema: type, values: dict, origins: Origins, path: str) -> str:
    """The lines of a validation error of `values`, read from the file `path`."""
    found = [(_key(values, problem), problem) for problem in error.errors()]
    keys = [key for key, _ in found]
    lines = []
    for i, (key, problem) in enumerate(found):
        # Of a choice of types every one complains: what lies deepest says most.
        branch = len(problem["loc"]) > len(key)
        deeper = any(len(k) > len(key) and k[: len(key)] == key for k in keys)
        short = problem["type"] == "too_short"  # items that were refused are not counted
        if not (((branch or short) and deeper) or (branch and key in keys[:i])):
            lines.append(_line(key, problem, schema, origins, path))
    return "\n".join(lines)


def _key(values: Any, problem: Any) -> Key:
    """The place of a problem in `values`: pydantic also names the types that it tried."""
    key: list[str | int] = []
    parts = iter(problem["loc"])
    for part in parts:
        if isinstance(values, dict) and isinstance(part, int):  # which the schema reads as pairs
            part = list(values)[part]
            next(parts, None)
        if isinstance(values, dict) and (part in values or problem["type"] == "missing"):
            values = values.get(part)
        elif isinstance(values, list | tuple) and isinstance(part, int):
            values = values[part] if part < len(values) else None
        else:
            continue
        key.append(part)
    return tuple(key)


def _line(key: Key, problem: Any, schema: type, origins: Origins, path: str) -> str:
    nearest = (origins[key[:n]] for n in range(len(key), 0, -1) if key[:n] in origins)
    where = next(nearest, Written(path)).where
    label = dotted(key) or "config"
    if problem["type"] == "extra_forbidden":
        fields = _fields(schema, key[:-1], tags=problem["loc"])
        close = difflib.get_close_matches(str(key[-1]), fields, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(fields)}"
        return f"{where}: {label}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{where}: {label}: missing; expected a value"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{where}: {label}: {message}"
    if problem["type"] in ("model_type", "model_attributes_type", "dict_type"):
        message = f"Input should be a section of keys: {', '.join(_fields(schema, key))}"
    elif problem["type"] == "tuple_type":
        message = "Input should be a list, such as [a, b]"
    return f"{where}: {label}: {message} ({_found(problem, origins.get(key))})"


def _found(problem: Any, written: Written | None) -> str:
    """The value as read, as written where that looks otherwise, and the way to make it a text."""
    value = problem["input"]
    found = shorten(f"the date {value}" if isinstance(value, date) else repr(value))
    if written is None or isinstance(value, str) or not written.text:
        return f"found {found}"
    text = shorten(written.text)
    read = f"found {found}" if text == found else f"found {found}, written {text}"
    if problem["type"] != "string_type":
        return read
    quoted = f'"{text}"'
    if written.where.startswith("--set"):
        return f"{read}; quote it, for the shell as well: '{quoted}'"
    return f"{read}; quote it: {quoted}"


def _fields(schema: type[Section], key: Key, *, tags: Key = ()) -> list[str]:
    """Field names of what may stand at `key` of a config; of a choice of sections those of the one
    that is among the `tags`, as in `strategy: fedavg`."""
    sections = [schema]
    for name in key:
        if isinstance(name, str):
            inner = [s.model_fields[name].annotation for s in sections if name in s.model_fields]
            sections = [section for annotation in inner for section in _sections(annotation)]
    sections = [section for section in sections if _is_tagged(section, tags)] or sections
    return list(dict.fromkeys(name for section in sections for name in section.model_fields))


def _is_tagged(section: type[Section], tags: Key) -> bool:
    """True where a field of a section may only be one of the tags."""
    allowed = (typing.get_args(field.annotation) for field in section.model_fields.values())
    return any(len(names) == 1 and names[0] in tags for names in allowed)


def _sections(annotation: Any) -> list[type[Section]]:
    """The sections that an annotation names, in lists, unions and alone."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for inner in typing.get_args(annotation) for section in _sections(inner)]
