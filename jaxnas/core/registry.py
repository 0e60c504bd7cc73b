"""Registries: the only lists of names, open to the packages of third parties."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from jaxnas.core.errors import UserError
from jaxnas.core.notices import warn


class Entry(NamedTuple):
    """An object, or its `module:attribute` to import once it is asked for, and a title."""

    target: Any
    title: str = ""


class Registry(Mapping[str, Any]):
    """The things of one `kind` by their names: the product's own, then those that installed
    packages add by entry points of `group`, in the order of their names.

    Names cost no import; `registry[name]` imports what stands behind one. A title is the entry's,
    or the attribute `title` of a third party's object, or the name. An entry point that takes a
    built-in name, or cannot be imported, is warned of and left out; asking for it is a UserError.

    >>> losses = Registry("loss", {"floor": Entry("math:floor", "Floor")})
    >>> losses["floor"](1.5), losses.title("floor"), [*losses]
    (1, 'Floor', ['floor'])
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry], *, group: str | None = None):
        self.kind, self.own, self.group = kind, dict(entries), group
        self.broken: dict[str, str] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self.own:
            target = self.own[name].target
            return resolve(target) if isinstance(target, str) else target
        self.check(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self._loaded

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from self._loaded

    def __len__(self) -> int:
        return len(self.own) + len(self._loaded)

    def check(self, name: str) -> None:
        """UserError for the name of an entry point that cannot be imported."""
        if name not in self and name in self.broken:
            raise UserError(f"{self.kind} {name!r}: {self.broken[name]}")

    def title(self, name: str) -> str:
        """The name as readers know it; itself for one that is not here."""
        if name in self.own:
            return self.own[name].title or name
        return getattr(self._loaded.get(name), "title", name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that may be asked for, without an import: also those that will fail."""
        return (*self.own, *(name for name in self._points if name not in self.own))

    @cached_property
    def _points(self) -> dict[str, EntryPoint]:
        found = entry_points(group=self.group) if self.group else ()
        return {point.name: point for point in sorted(found, key=lambda point: point.name)}

    @cached_property
    def _loaded(self) -> dict[str, Any]:
        """The objects of third parties; says what cannot be had."""
        loaded: dict[str, Any] = {}
        # A package that looks a name up while it is imported sees the product's own.
        self.__dict__["_loaded"] = loaded
        for name, point in self._points.items():
            package = point.dist.name if point.dist else point.value
            if name in self.own:
                warn(
                    f"package {package}: the {self.kind} {name!r} is one of jaxnas itself; that "
                    f"of the package is left out, give it another name"
                )
                continue
            try:
                loaded[name] = point.load()
            except Exception as error:  # whatever a stranger's module may raise
                self.broken[name] = f"package {package} cannot be imported ({_line(error)})"
                warn(f"{self.broken[name]}; its {self.kind} {name!r} is left out")
        return loaded


class OneOf:
    """An annotation of pydantic: a name out of a registry, as in `Annotated[str, OneOf(SPACES)]`.

    `besides` are names that it does not hold. The error is that of a `Literal`.
    """

    def __init__(self, registry: Registry, *, besides: tuple[str, ...] = ()):
        self.registry, self.besides = registry, besides

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "enum": [*self.besides, *self.registry]}

    def _check(self, value: Any) -> str:
        if isinstance(value, str) and (value in self.besides or value in self.registry):
            return value
        if isinstance(value, str):
            self.registry.check(value)
        expected = either([*self.besides, *self.registry])
        raise PydanticCustomError(
            "literal_error", "Input should be {expected}", {"expected": expected}
        )


def resolve(target: str) -> Any:
    """The attribute that `module:attribute` names."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def either(names: list[str]) -> str:
    """`'a', 'b' or 'c'`."""
    *first, last = map(repr, names)
    return f"{', '.join(first)} or {last}" if first else last


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
