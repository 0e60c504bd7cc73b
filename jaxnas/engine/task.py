"""The contract of a task: what a network is for, on which data, how it is judged and compared.

A method, a setting or a stage sees no more of a task than this; `Reconstruction` and `Segmentation`
are two of them. A class that inherits a contract needs to say only what has no default.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import jax
from flax import linen as nn

from jaxnas.data.batches import EpochStream
from jaxnas.data.splits import label_values
from jaxnas.engine.inputs import HeldGroups
from jaxnas.engine.rundir import RunDir
from jaxnas.engine.step import TrainLoss

GROUPS = ("train", "valid", "test")
Split = Mapping[str, tuple[str, ...]]
Variables = Mapping[str, Any]  # `params`, and the collections that a network is applied with
Finish = Callable[[Any, EpochStream], Variables]  # (params, training batches) → variables
Validate = Callable[[Variables, Any], float]  # (variables, dataset of the task) → score


class Dataset(Protocol):
    """The data of one site, fold or client: volumes or patients in `train`, `valid` and `test`."""

    @property
    def groups(self) -> Split:
        """The names in every group."""
        ...

    def regrouped(self, groups: Split) -> Self:
        """The same data in other groups."""
        ...

    def count(self, group: str, /) -> int:
        """The number of slices of a group."""
        ...

    def half_counts(self, seed: int) -> tuple[int, int]:
        """The number of slices of each half of the training group in a search."""
        ...

    def batches(self, *, size: int, seed: int) -> EpochStream:
        """Shuffled batches of the training slices."""
        ...

    def halves(self, *, size: int, seed: int) -> tuple[EpochStream, EpochStream]:
        """Batches for the weights and for the architecture, each of one half of `train`."""
        ...

    def held(self) -> HeldGroups:
        """The volumes of every group, in the source's order."""
        ...

    def facts(self) -> dict[str, Any]:
        """The facts that applying a run needs of a client, as JSON."""
        ...

    def describe(self) -> str:
        """One line for a person: names and slices of every group."""
        ...


class Task(Protocol):
    """A task of a config. Frozen and hashable: equal tasks share compiled programs."""

    score: ClassVar[str]  # of a validation, in the log
    collections: ClassVar[tuple[str, ...]] = ()  # that a trained network has beside its `params`

    def init(self, key: jax.Array, net: nn.Module) -> Variables:
        """The variables of a network before training; they depend on the key alone."""
        ...

    def loss(self, net: nn.Module) -> TrainLoss:
        """Returns loss(params, batch, key) -> (scalar, metrics)."""
        ...

    def finish(self, net: nn.Module) -> Finish:
        """Returns what makes trained parameters ready to be applied; compiles once. By default
        nothing but the parameters is."""
        return lambda params, batches: {"params": params}

    def validate(self, net: nn.Module) -> Validate:
        """Returns the `score` of variables on the group `valid` of a dataset; compiles once."""
        ...


class DataOpener(Protocol):
    """The data of a task, from config to `Dataset`. A source may serve several clients.

    Configs, sources and datasets are the task's own.
    """

    unit: ClassVar[str]  # of a split, in messages: volume, patient

    def holding(self, source: Any) -> Self:
        """The opener of a source that is given in memory instead of by a config."""
        ...

    def source_key(self, config: Any) -> Hashable:
        """Equal for configs that read one source: those of one section `data`."""
        return config.data

    def open_source(self, config: Any, *, share: int = 1) -> Any:
        """The source of a config; of memory it takes its part where `share` of them are open."""
        ...

    def names(self, source: Any) -> tuple[str, ...]:
        """All that can be split."""
        ...

    def subjects(self, config: Any, source: Any) -> Mapping[str, str]:
        """{name: subject} of those that must not be parted; empty where all may be."""
        return {}

    def labels(self, source: Any, by: str) -> Mapping[str, str]:
        """The label `by` of every name, by default what a pattern finds in it; UserError for one
        that there is not."""
        return label_values({name: {} for name in self.names(source)}, by, kind=self.unit)

    def dataset(
        self,
        config: Any,
        source: Any,
        *,
        names: Sequence[str] | None = None,
        fold: int | None = None,
    ) -> Dataset:
        """The dataset of `names` (default: all), split as the config says, or of another `fold`."""
        ...

    def joined(self, config: Any, members: Mapping[str, Any]) -> Mapping[str, Dataset]:
        """Clients as they are computed together; UserError, naming one, unless they are alike."""
        return members

    def check(self, dataset: Any) -> None:
        """UserError where nothing could be trained, searched or evaluated on a dataset."""


class Contender(NamedTuple):
    """A row of a comparison: a network, across clients with the label of its method, or a method
    that nobody trains."""

    model: str
    strategy: str | None = None

    @property
    def name(self) -> str:
        """Its name among predictors, scores and pictures."""
        return self.model if self.strategy is None else f"{self.model}/{self.strategy}"


class Evaluator(Protocol):
    """The comparison of the networks of one config on test data.

    Datasets are the task's own; so are predictors, what makes an output of an input, and scores,
    what is known of every output of all contenders at one member.
    """

    @property
    def untrained(self) -> Mapping[str, Any]:
        """The predictors that nobody trains, by name."""
        return {}

    def predictor(self, net: nn.Module, variables: Variables, dataset: Any) -> Any:
        """A trained network as a predictor for the data of a member."""
        ...

    def evaluate(self, predictors: Mapping[str, Any], dataset: Any, *, fold: int | None) -> Any:
        """The scores of predictors, trained on `fold` if there are folds, on the group `test`."""
        ...

    def rows(self, name: str, found: Sequence[Any]) -> list[dict[str, Any]]:
        """The rows of the contender `name` in metrics.json: its scores at some members, pooled."""
        ...

    def facts(self, model: str, net: nn.Module, predictor: Any, dataset: Any) -> dict[str, Any]:
        """The facts of a network beside its scores: its size and, if measured, its speed."""
        ...

    def describe(self, datasets: Sequence[Any]) -> str:
        """One line: the test data of some members."""
        return f"{sum(dataset.count('test') for dataset in datasets)} test slices"

    def head(self) -> dict[str, Any]:
        """The conventions and limits that metrics.json states."""
        return {}

    def write(
        self, run_dir: RunDir, found: Mapping[str, Any], contenders: Sequence[Contender]
    ) -> None:
        """Writes every file of an evaluation but metrics.json; `found` are scores by member."""
