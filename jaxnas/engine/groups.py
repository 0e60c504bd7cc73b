"""The groups of a split that train and that validate: one rule for every task, at one site and at
every client."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from jaxnas.core.config import AnyConfig
from jaxnas.core.errors import UserError
from jaxnas.core.notices import warn
from jaxnas.engine.run import Run

Split = Mapping[str, tuple[str, ...]]


class Grouped(Protocol):
    """The data of one site: volumes or patients in `train`, `valid` and `test`."""

    @property
    def groups(self) -> Split:
        """The names in every group."""

    def regrouped(self, groups: Split) -> Any:
        """The same data in other groups."""

    def count(self, group: str) -> int:
        """The number of slices of a group."""

    def half_counts(self, seed: int) -> tuple[int, int]:
        """The number of slices of each half of the training group in a search."""


D = TypeVar("D", bound=Grouped)


def training_data(config: AnyConfig, dataset: D) -> D:
    """`dataset` as a training sees it: where nothing validates, the group `valid` trains too.

    The paper retrains on the whole training set; nobody trains on the group `test`, and a search
    halves the group `train` alone.
    """
    groups = dataset.groups
    if config.train.validate_every or not groups["valid"]:
        return dataset
    whole = {"train": (*groups["train"], *groups["valid"]), "valid": ()}
    return dataset.regrouped({**groups, **whole})


def check_training_data(config: AnyConfig, dataset: Grouped, *, who: str = "") -> None:
    """UserError where a validation is asked for and nothing set aside; a warning for less than a
    batch. `who` names a client, such as "client 'a': "."""
    if config.train.validate_every and not dataset.groups["valid"]:
        raise UserError(
            f"{who}train.validate_every is {config.train.validate_every}, but no volume is set "
            f"aside for validation; give data.split a valid_fraction above 0, or names for valid "
            f"where it takes them, or set train.validate_every: 0"
        )
    slices = training_data(config, dataset).count("train")
    _note_less_than_a_batch(slices, config.train.batch, "train.batch", f"{who}training data")


def check_search_data(config: AnyConfig, dataset: Grouped, seed: int, *, who: str = "") -> None:
    """UserError unless `train` can be halved; a warning for a half of less than a batch. `who` as
    in `check_training_data`."""
    for half, slices in zip(("weights", "architecture"), dataset.half_counts(seed)):
        what = f"{who}the half of the {half}"
        _note_less_than_a_batch(slices, config.search.batch, "search.batch", what)


def log_training(run: Run, datasets: Sequence[Grouped]) -> None:
    """Shows one line where volumes or patients set aside for validation train too."""
    config = run.config
    given = sum(len(d.groups["valid"]) for d in datasets if training_data(config, d) is not d)
    if given:
        run.log(f"{given} validation volumes train too: nothing validates")


def _note_less_than_a_batch(slices: int, batch: int, key: str, what: str) -> None:
    if slices < batch:
        warn(f"{what}: {slices} slices, fewer than {key} {batch}; they are repeated to fill it")
