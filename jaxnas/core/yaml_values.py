"""YAML as plain values, and for every one of them where it was written, and how."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from jaxnas.core.errors import UserError

Key = tuple[str | int, ...]
LIMIT = 100_000  # values in one file: aliases of aliases stand for billions in a few lines
MERGE = "tag:yaml.org,2002:merge"
# Numbers to everybody but YAML 1.1, which wants a point and a sign.
EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


class Written(NamedTuple):
    """The place of a value, and its text where that is a word without quotation marks."""

    where: str
    text: str | None = None


Origins = dict[Key, Written]
AnyNode = yaml.ScalarNode | yaml.SequenceNode | yaml.MappingNode


def read_file(path: Path) -> tuple[dict, Origins]:
    """The values of a YAML file. UserError where there is none, or anything but `key: value`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot read the config ({error.strerror})") from None
    try:
        # A byte order mark says which of the encodings it is.
        wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file; expected a YAML config") from None
    values, origins = read_text((), text, lambda line: f"{path}:{line}", path=str(path))
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise UserError(f"{path}:1: expected `key: value` lines at the top level")
    return values, origins


def read_text(
    key: Key, text: str, where: Callable[[int], str], *, path: str
) -> tuple[Any, Origins]:
    """The value of a YAML text that stands at `key`; `where` names a line of it.

    UserError for what is no YAML, a key written twice, and more than can be meant.
    """
    builder = _Builder(where)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = None if node is None else builder.build(node, key)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", "unreadable")
        place = where(mark.line + 1) if mark else path
        raise UserError(f"{place}: not valid YAML ({problem})") from None
    except RecursionError:
        raise UserError(
            f"{path}: nested too deeply; expected sections in sections, and no alias inside of "
            f"what it stands for"
        ) from None
    return value, builder.origins


def dotted(key: Key) -> str:
    """('a', 'b', 0) → 'a.b[0]'."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in key]
    return "".join(parts).removeprefix(".")


def shorten(text: str, *, width: int = 100) -> str:
    """`text` where a message can hold it, else its beginning."""
    return text if len(text) <= width else f"{text[:width]}…"


class _Builder:
    """Values out of YAML nodes, with their origins."""

    def __init__(self, where: Callable[[int], str]) -> None:
        self.where, self.origins, self.count = where, {}, 0

    def build(self, node: AnyNode, key: Key) -> Any:
        """The plain value of a node; duplicate keys are refused."""
        place = self.where(node.start_mark.line + 1)
        self.count += 1
        if self.count > LIMIT:
            raise UserError(f"{place}: more than {LIMIT:,} values; aliases stand for too many")
        if isinstance(node, yaml.SequenceNode):
            self.origins[key] = Written(place)
            return [self.build(item, (*key, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            self.origins[key] = Written(place)
            return self._mapping(node, key)
        self.origins[key] = Written(place, node.value if node.style is None else None)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name_node, child in node.value:
            name, place = name_node.value, self.where(name_node.start_mark.line + 1)
            if name_node.tag == MERGE:
                continue
            if not isinstance(name, str):
                raise UserError(f"{place}: {dotted(key) or 'config'}: a key must be a plain word")
            if name in result:
                first = self.origins[(*key, name)].where.rsplit(":", 1)[1]
                raise UserError(
                    f"{place}: {dotted((*key, name))}: written twice (first on line {first}); "
                    f"keep one"
                )
            result[name] = self.build(child, (*key, name))
            self.origins[(*key, name)] = self.origins[(*key, name)]._replace(where=place)
        merged = [child for name_node, child in node.value if name_node.tag == MERGE]
        return self._merged(merged, key) | result if merged else result

    def _merged(self, nodes: list[AnyNode], key: Key) -> dict[str, Any]:
        """The entries that `<<` brings in: keys that are not written in the mapping itself."""
        own, result = self.origins, {}
        for node in nodes:
            self.origins = {}
            value = self.build(node, key)
            for part in value if isinstance(value, list) else [value]:
                if not isinstance(part, dict):
                    place = self.where(node.start_mark.line + 1)
                    raise UserError(
                        f"{place}: {dotted(key) or 'config'}: << must stand for a mapping"
                    )
                result = part | result
            own = self.origins | own
        self.origins = own
        return result


def _scalar(node: yaml.ScalarNode) -> Any:
    """A scalar as YAML reads it, except that 1e-3 is a number; the text, where it only looks like a
    date or a number."""
    if node.style is None and EXPONENT.fullmatch(node.value):
        return float(node.value)
    try:
        value = yaml.SafeLoader("").construct_object(node, deep=True)
    except ValueError:
        return node.value
    vast = isinstance(value, int) and value.bit_length() > 1000
    return node.value if vast else value
