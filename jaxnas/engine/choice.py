"""A trained network of a run: what it is called, and what it is made of."""

from typing import NamedTuple

from flax import linen as nn

from jaxnas.engine.task import Variables


class Choice(NamedTuple):
    """The names of a trained network: its model, in a federated run the label of its method and the
    client where each has weights of its own, and the fold where there are more."""

    model: str | None = None
    strategy: str | None = None
    client: str | None = None
    fold: int | None = None

    @property
    def named(self) -> str:
        """The name of the model; ValueError where it was left to the run."""
        if self.model is None:
            raise ValueError("expected a choice that names its model")
        return self.model

    def to_json(self) -> dict[str, str | int]:
        """The names that were given."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Trained(NamedTuple):
    """A trained network with its variables; `choice` names it in full."""

    choice: Choice
    net: nn.Module
    variables: Variables
