"""Every client as a training and a search see it, whatever the task: as at one site, by name."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from jaxnas.core.config import AnyConfig
from jaxnas.engine.groups import Grouped, check_search_data, check_training_data, training_data
from jaxnas.fed.local import client_seed
from jaxnas.fed.shares import named


class Member(Protocol):
    """A client of any task: a frozen dataclass."""

    name: str
    dataset: Grouped


M = TypeVar("M", bound=Member)
HALVES = {"reconstruction": "halves", "segmentation": "search"}  # the purpose of their seeds


def training_members(config: AnyConfig, members: Sequence[M]) -> tuple[M, ...]:
    """The clients with what they train on; see `training_data`. Their weights stay."""
    found: list[Any] = [replace(m, dataset=training_data(config, m.dataset)) for m in members]
    return tuple(found)


def check_training_members(config: AnyConfig, members: Sequence[Member]) -> None:
    """UserError for a client without the validation that is asked; see `check_training_data`."""
    for member in members:
        check_training_data(config, member.dataset, who=f"client {member.name!r}: ")


def check_search_members(config: AnyConfig, members: Sequence[Member]) -> None:
    """UserError for a client whose training data cannot be halved; see `check_search_data`."""
    for member in members:
        seed = client_seed(config.seed, member.name, HALVES[config.task])
        who = f"client {member.name!r}"
        with named(who):
            check_search_data(config, member.dataset, seed, who=f"{who}: ")
