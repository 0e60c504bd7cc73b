"""The sections of a config on clients, rounds and strategies, whatever the task."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from jaxnas.core.sections import Decay, Fraction, Free, Name, Patterns, Positive, Section, Weight


class PartitionConfig(Section):
    """Clients made from one dataset.

    `by` is a label of volumes (contrast, subject, scanner) or a pattern with one group over their
    names. `natural`: a client per label; `dirichlet`: every label is spread over `clients` by
    proportions of that `concentration`; `even`: all volumes are dealt out at random.
    """

    method: Literal["natural", "dirichlet", "even"] = "natural"
    by: str = "contrast"
    clients: Positive | None = None
    concentration: Annotated[float, Field(gt=0.0)] = 0.5

    @model_validator(mode="after")
    def _clients_where_needed(self):
        if (self.clients is None) != (self.method == "natural"):
            raise ValueError(
                f"clients must be given for dirichlet and even and for nothing else, found "
                f"method {self.method} and clients {self.clients}"
            )
        return self


class MethodConfig(Section):
    """One way of training `model` across clients; `name` tells two of one strategy apart."""

    model: str = "derived"
    name: Name | None = None

    @property
    def label(self) -> str:
        """The label in tables: the name, or else the strategy."""
        return self.name or self.strategy


class NonFed(MethodConfig):
    """Every client trains alone."""

    strategy: Literal["non_fed"]


class FedAvg(MethodConfig):
    """The weights of all clients are averaged after every round."""

    strategy: Literal["fedavg"]


class FedProx(MethodConfig):
    """FedAvg with μ/2 ‖ω − ωᵗ‖² in the loss of every client."""

    strategy: Literal["fedprox"]
    mu: Weight = 0.01


class FedMRI(MethodConfig):
    """A shared encoder, local decoders and a weighted contrastive term of weight `beta`.

    `shared` are patterns over parameter paths; null: the model's own encoder.
    """

    strategy: Literal["fedmri"]
    beta: Weight = 100.0
    shared: Patterns | None = None


class FedAutoMRI(MethodConfig):
    """FedAvg with an exponential moving average of decay `gamma` after every round (Eq. 7)."""

    strategy: Literal["fedautomri"]
    gamma: Decay = 0.5
    ema: Literal["debiased", "mix", "plain", "printed"] = "debiased"


Method = Annotated[NonFed | FedAvg | FedProx | FedMRI | FedAutoMRI, Field(discriminator="strategy")]


class RoundsConfig(Section):
    """Clients, rounds and strategies; the optimisers are those of `search` and `train`.

    A round is `local_epochs` epochs or `local_steps` steps at every client that takes part, then
    one average with `weights`. `backend`, `chunk` (clients at a time; null: all, on CPU four) and
    `devices` only say how a round is computed. An update that is not finite stops the run, or is
    dropped.
    """

    clients: tuple[Any, ...] = ()
    partition: PartitionConfig | None = None
    search_rounds: Positive = 50
    rounds: Positive = 150
    local_epochs: Positive | None = None
    local_steps: Positive | None = None
    participation: Fraction = 1.0
    weights: Literal["samples", "equal"] = "samples"
    optimizer: Literal["keep", "reset"] = "keep"
    bad_update: Literal["stop", "drop"] = "stop"
    backend: Annotated[Literal["vmap", "map", "loop"], Free.MACHINE] = "vmap"
    chunk: Annotated[Positive | None, Free.MACHINE] = None
    devices: Annotated[Positive, Free.MACHINE] = 1
    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = (
        FedAutoMRI(strategy="fedautomri"),
    )

    @model_validator(mode="after")
    def _clients_once(self):
        if bool(self.clients) == (self.partition is not None):
            raise ValueError("give either clients or partition, found both or neither")
        _check_unique("clients", [client.name for client in self.clients])
        _check_unique("methods", [f"{method.label} of {method.model}" for method in self.methods])
        return self

    @model_validator(mode="after")
    def _one_length(self):
        if (self.local_epochs is None) == (self.local_steps is None):
            raise ValueError(
                f"give either local_epochs or local_steps, found "
                f"{self.local_epochs} and {self.local_steps}"
            )
        return self


def _check_unique(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what}: {name!r} comes twice; give each a name of its own")
