"""The keys that make two configs the same run: all but those marked `Free`."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxnas.core.sections import Free, Section
from jaxnas.core.yaml_values import Key, dotted, shorten


class Difference(NamedTuple):
    """A key that two configs say differently, and what it was and is as JSON."""

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        before, now = (shorten(json.dumps(value)) for value in (self.before, self.now))
        return f"{self.key} was {before}, now {now}"


def fingerprint(config: Section) -> str:
    """Ten hex digits that change with every value but those that say how a run is computed."""
    said = {dotted(key): value for key, value, free in _said(config) if free is not Free.MACHINE}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:10]


def differences(before: Section, now: Section) -> list[Difference]:
    """The keys by which `now` is another run than `before`, in the order of the config.

    Files may have moved, as long as each is named as before; that they hold the same is for those
    who open them to see.
    """
    old, new = ({key: (value, free) for key, value, free in _said(c)} for c in (before, now))
    unsaid = (None, None)
    return [
        Difference(dotted(key), old.get(key, unsaid)[0], new.get(key, unsaid)[0])
        for key in dict.fromkeys([*old, *new])
        if _essence(*old.get(key, unsaid)) != _essence(*new.get(key, unsaid))
    ]


def _said(section: Section, above: Key = ()) -> Iterator[tuple[Key, Any, Free | None]]:
    """Every value of a config: its key, itself as JSON, and whether it is free to change."""
    plain = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        if name not in plain:  # a key that means nothing beside others
            continue
        key, value = (*above, name), getattr(section, name)
        free = next((mark for mark in field.metadata if isinstance(mark, Free)), None)
        if isinstance(value, Section):
            yield from _said(value, key)
        elif isinstance(value, tuple) and value and isinstance(value[0], Section):
            for i, item in enumerate(value):
                yield from _said(item, (*key, i))
        else:
            yield key, plain[name], free


def _essence(value: Any, free: Free | None) -> Any:
    """The part of a value that no run may change: of files only which there are."""
    if free is None or value is None:
        return value
    if free is Free.MACHINE:
        return None
    return sorted(value) if isinstance(value, dict) else True
