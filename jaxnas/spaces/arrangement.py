"""The arrangement of a genotype: what surrounds its cells, where that is chosen with them.

A genotype without one is arranged as the section `network` of a config says. One that has some of
the keys its space arranges replaces what the section says of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, TypeVar

from pydantic import ValidationError

from jaxnas.core.errors import UserError
from jaxnas.core.sections import Section
from jaxnas.spaces.genotype import Arrangement, Genotype

Network = TypeVar("Network", bound=Section)


def arranged(
    network: Network, genotype: Genotype, keys: Sequence[str], *, where: str = "genotype"
) -> Network:
    """The section `network` as a genotype arranges it; `keys` are those that its space arranges.

    UserError for another key, or a value that the section cannot have.
    """
    if genotype.arrangement is None:
        return network
    values = dict(genotype.arrangement)
    for key in values:
        if key not in keys:
            raise UserError(
                f"{where}: arrangement.{key}: space {genotype.space!r} does not arrange it; "
                f"expected some of {', '.join(keys)}"
            )
    try:
        return type(network).model_validate(network.model_dump() | values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or ", ".join(values)
        raise UserError(
            f"{where}: arrangement.{key}: found {first['input']!r}; {first['msg']}"
        ) from error


def rearranged(genotype: Genotype, choices: Mapping[str, Any]) -> Genotype:
    """The genotype with `choices` in its arrangement; what it says itself stays."""
    values = dict(choices) | dict(genotype.arrangement or ())
    return replace(genotype, arrangement=tuple(sorted(values.items())) or None)


def arrangements(choices: Mapping[str, Sequence[Any]]) -> tuple[Arrangement, ...]:
    """Every arrangement of some values of each key; a single empty one of no keys.

    >>> arrangements({"cells": (1, 2), "cascades": (4,)})
    ((('cascades', 4), ('cells', 1)), (('cascades', 4), ('cells', 2)))
    """
    keys = sorted(choices)
    return tuple(tuple(zip(keys, values)) for values in product(*(choices[key] for key in keys)))
