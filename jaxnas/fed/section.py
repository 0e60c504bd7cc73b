"""The sections of a config on clients, rounds and strategies, whatever the task."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import Field, SerializeAsAny, WrapValidator, field_validator, model_validator

from jaxnas.core.sections import Decay, Fraction, Free, Name, Patterns, Positive, Section, Weight
from jaxnas.fed.registry import STRATEGIES

ServerRate = Annotated[float, Field(gt=0.0)]


# Each with the reason why it cannot be the strategy of a search.
NOT_FOR_A_SEARCH = {
    "non_fed": "its clients share no alphas, so that there would be no genotype in common",
    "fedmri": "it shares the encoder of a network, and the cells of a supernet are at once in "
    "what would be its encoder and its decoder",
    "scaffold": "its control variates are mean gradients of one loss under plain SGD, and a search "
    "moves weights and alphas by two losses and two optimisers",
}


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


class FedAvgStrategy(Section):
    """The weights of all clients are averaged after every round."""

    strategy: Literal["fedavg"]


class FedProxStrategy(Section):
    """FedAvg with μ/2 ‖ω − ωᵗ‖² in the loss of every client; in a search ω are the alphas too."""

    strategy: Literal["fedprox"]
    mu: Weight = 0.01


class FedAutoMRIStrategy(Section):
    """FedAvg with an exponential moving average of decay `gamma` after every round (Eq. 7)."""

    strategy: Literal["fedautomri"]
    gamma: Decay = 0.5
    ema: Literal["debiased", "mix", "plain", "printed"] = "debiased"


class FedAvgMStrategy(Section):
    """FedAvg with momentum at the server, which moves by `server_rate` times its velocity."""

    strategy: Literal["fedavgm"]
    momentum: Decay = 0.9
    server_rate: ServerRate = 1.0


class FedAdamStrategy(Section):
    """Adam at the server: about `server_rate` is the most that a weight moves in a round; `tau` is
    added to the root of the second moment, so that what clients hardly move stays still."""

    strategy: Literal["fedadam"]
    server_rate: ServerRate = 0.01
    beta1: Decay = 0.9
    beta2: Decay = 0.99
    tau: Annotated[float, Field(gt=0.0)] = 1e-3


def _read_registered(value: Any, handler: Callable[[Any], Any]) -> Any:
    """The section of a third party's strategy, or what `handler` makes of another."""
    name = value.get("strategy") if isinstance(value, dict) else getattr(value, "strategy", None)
    if not isinstance(name, str) or name in STRATEGIES.own:
        return handler(value)
    STRATEGIES.check(name)
    return STRATEGIES[name].model_validate(value) if name in STRATEGIES else handler(value)


SearchStrategy = Annotated[
    FedAvgStrategy | FedProxStrategy | FedAutoMRIStrategy | FedAvgMStrategy | FedAdamStrategy,
    Field(discriminator="strategy"),
]
# To a type checker `SerializeAsAny` is the alias of a type alone.
_REGISTERED = (WrapValidator(_read_registered), SerializeAsAny())  # pyright: ignore[reportCallIssue]


class MethodConfig(Section):
    """One way of training `model` across clients; `name` tells two of one strategy apart.

    A third party registers a subclass, with a field `strategy` and a `build()` of its `Strategy`.
    """

    model: str = "derived"
    name: Name | None = None

    if TYPE_CHECKING:
        strategy: str

    @property
    def label(self) -> str:
        """The label in tables: the name, or else the strategy."""
        return self.name or self.strategy


class NonFed(MethodConfig):
    """Every client trains alone."""

    strategy: Literal["non_fed"]


class FedAvg(FedAvgStrategy, MethodConfig):
    """A network trained by `FedAvgStrategy`."""


class FedProx(FedProxStrategy, MethodConfig):
    """A network trained by `FedProxStrategy`."""


class FedMRI(MethodConfig):
    """A shared encoder, local decoders and a weighted contrastive term of weight `beta`.

    `shared` are patterns over parameter paths; null: the model's own encoder.
    """

    strategy: Literal["fedmri"]
    beta: Weight = 100.0
    shared: Patterns | None = None


class FedAutoMRI(FedAutoMRIStrategy, MethodConfig):
    """A network trained by `FedAutoMRIStrategy`."""


class FedAvgM(FedAvgMStrategy, MethodConfig):
    """A network trained by `FedAvgMStrategy`."""


class FedAdam(FedAdamStrategy, MethodConfig):
    """A network trained by `FedAdamStrategy`."""


class Scaffold(MethodConfig):
    """Control variates correct every local step; the server moves by `server_rate` times the mean
    move of the clients. Only with plain SGD, see `check_plain_sgd`."""

    strategy: Literal["scaffold"]
    server_rate: ServerRate = 1.0


Method = Annotated[
    NonFed | FedAvg | FedProx | FedMRI | FedAutoMRI | FedAvgM | FedAdam | Scaffold,
    Field(discriminator="strategy"),
]


class RoundsConfig(Section):
    """Clients, rounds and strategies; the optimisers are those of `search` and `train`.

    A round is `local_epochs` epochs or `local_steps` steps at every client that takes part, then
    one average with `weights`. `backend`, `chunk` (clients at a time; null: all, on CPU four) and
    `devices` only say how a round is computed. An update that is not finite stops the run, or is
    dropped. `search_strategy` is that of weights and alphas in a search, `methods` are the
    trainings that are compared.
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
    search_strategy: Annotated[SearchStrategy, *_REGISTERED] = FedAvgStrategy(strategy="fedavg")
    methods: Annotated[tuple[Annotated[Method, *_REGISTERED], ...], Field(min_length=1)] = (
        FedAutoMRI(strategy="fedautomri"),
    )

    @field_validator("search_strategy", mode="before")
    @classmethod
    def _a_strategy_for_a_search(cls, value: Any) -> Any:
        found = value.get("strategy") if isinstance(value, dict) else None
        if isinstance(found, str) and found in NOT_FOR_A_SEARCH:
            raise ValueError(
                f"{found} and a search.method cannot be combined, for {NOT_FOR_A_SEARCH[found]}; "
                f"expected one of {', '.join(_strategies(SearchStrategy))}"
            )
        return value

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


def check_plain_sgd(config: Any) -> Any:
    """The config, of either task. ValueError for a method of SCAFFOLD with a `train.optimizer` that
    is not plain SGD: by its displacement over the sum of the rates no client would know its mean
    gradient (see `fed.scaffold`). A weight decay is part of the loss there, and does no harm."""
    methods = config.federated.methods if config.federated else ()
    asked = config.train.optimizer
    plain = {"name": "sgd", "momentum": 0.0, "clip": None}
    other = {key: getattr(asked, key) for key in plain if getattr(asked, key) != plain[key]}
    for i, method in enumerate(methods):
        if method.strategy == "scaffold" and other:
            found = " and ".join(f"train.optimizer.{key}: {value}" for key, value in other.items())
            raise ValueError(
                f"federated.methods[{i}].strategy: scaffold does not go with {found}, for its "
                f"control variates are mean gradients only under plain SGD; set name: sgd, "
                f"momentum: 0 and clip: null"
            )
    return config


def _strategies(union: Any) -> list[str]:
    """The names of the strategies in a union of their sections."""
    sections = get_args(get_args(union)[0])
    return [get_args(section.model_fields["strategy"].annotation)[0] for section in sections]


def _check_unique(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what}: {name!r} comes twice; give each a name of its own")
