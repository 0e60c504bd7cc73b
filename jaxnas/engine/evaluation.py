"""The contract of an evaluation: who is compared, and how a task compares them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from flax import linen as nn

from jaxnas.engine.rundir import RunDir
from jaxnas.engine.task import Variables


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
