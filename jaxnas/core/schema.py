"""What a config may say: frozen models, every bound stated once, every default documented."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from jaxnas.core.sections import (
    STAGES,
    Decay,
    Fraction,
    Name,
    Patterns,
    Positive,
    Section,
    Size,
    Stage,
    Weight,
    check_order,
)


class SyntheticConfig(Section):
    """The embedded source: anatomy-like phantoms, a pure function of the seed."""

    volumes: Positive = 12
    slices: Positive = 8
    size: Size = (128, 128)
    coils: Positive = 1


class SplitConfig(Section):
    """Which volumes train, validate and test: name patterns, or fractions when none is given."""

    train: Patterns | None = None
    valid: Patterns | None = None
    test: Patterns | None = None
    valid_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    test_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2

    @model_validator(mode="after")
    def _train_and_test_together(self):
        if (self.train is None) != (self.test is None):
            raise ValueError("train and test patterns must be given together, or neither")
        return self

    @model_validator(mode="after")
    def _something_to_train_on(self):
        if self.valid_fraction + self.test_fraction >= 1.0:
            raise ValueError(
                f"valid_fraction {self.valid_fraction} and test_fraction {self.test_fraction} "
                f"leave nothing to train on"
            )
        return self


class DataConfig(Section):
    """Where volumes come from and how a slice is cropped.

    `domain`, `dataset`, `axes` and `sens` describe plain arrays: what the numbers are, the name of
    the array in its file (`*`: every array is a volume), its axes in letters (S slice, C coil, H,
    W) and the name of the coil sensitivities in the same file. `slices` keeps start:stop:step of
    every volume. `coils: combined` makes emulated single-coil slices of multi-coil ones. Images are
    first padded with zeros, then cropped.
    """

    source: Literal["synthetic", "fastmri", "arrays", "modl_brain", "cc359"] = "synthetic"
    path: str | Patterns | None = None
    domain: Literal["kspace", "image", "magnitude"] = "kspace"
    dataset: str | None = None
    axes: str | None = None
    sens: str | None = None
    slices: Annotated[str, Field(pattern=r"^-?\d*:-?\d*(:[1-9]\d*)?$")] | None = None
    coils: Literal["all", "combined"] = "all"
    pad: Size | None = None
    crop: Size | None = None
    synthetic: SyntheticConfig = SyntheticConfig()
    split: SplitConfig = SplitConfig()

    @model_validator(mode="after")
    def _path_where_needed(self):
        if self.source != "synthetic" and not self.path:
            raise ValueError(f"path is required for source {self.source!r}")
        return self


class AcquisitionConfig(Section):
    """The simulated acquisition: one mask kind, accelerations drawn with equal probability."""

    mask: Literal["random", "equispaced", "equispaced_fraction", "magic", "magic_fraction"] = (
        "random"
    )
    accelerations: Annotated[tuple[Annotated[float, Field(ge=1.0)], ...], Field(min_length=1)] = (
        4.0,
        8.0,
    )
    center_fractions: Annotated[tuple[Fraction, ...], Field(min_length=1)] = (0.08, 0.04)
    peak: Annotated[float, Field(gt=0.0)] = 6.0

    @model_validator(mode="after")
    def _pairs(self):
        if len(self.accelerations) != len(self.center_fractions):
            raise ValueError(
                f"one centre fraction per acceleration is needed, got "
                f"{len(self.accelerations)} accelerations and "
                f"{len(self.center_fractions)} center_fractions"
            )
        return self


class NetworkConfig(Section):
    """The network around the searched or hand-made denoiser.

    `lam` is λ of Eq. 8 (null: the noiseless limit, measured samples are kept exactly). With
    `shared` all cascades of a searched network have one denoiser, as in MoDL. `edges` says how
    a derived edge adds several operations: as they are, or by their renormalised weights.
    `baseline_channels` is the width of the hand-made networks (null: `channels`).
    """

    space: Literal["csmri_a", "csmri_b", "fedautomri"] = "csmri_a"
    channels: Positive = 32
    baseline_channels: Positive | None = None
    cells: Positive = 3
    nodes: Positive = 3
    cascades: Positive = 3
    shared: bool = False
    edges: Literal["sum", "weighted"] = "sum"
    lam: Annotated[float, Field(gt=0.0)] | None = None
    learn_lam: bool = False
    cg_iterations: Positive = 8
    plan: Literal["branch", "stack", "dense"] = "stack"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _lam_to_learn(self):
        if self.learn_lam and self.lam is None:
            raise ValueError("learn_lam needs a finite starting value in lam, found null")
        return self


class OptimConfig(Section):
    """An optimiser and its schedule; `drops` are the fractions of the run where `step` divides
    the rate by ten (the paper: 0.5). `weight_decay` is an L2 penalty, decoupled in `adamw`."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    rate: Annotated[float, Field(gt=0.0)] = 1e-3
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    momentum: Decay = 0.9
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    schedule: Literal["constant", "step", "cosine"] = "step"
    drops: tuple[Fraction, ...] = (0.5,)
    warmup: Annotated[int, Field(ge=0)] = 0
    clip: Annotated[float, Field(gt=0.0)] | None = None


class SearchConfig(Section):
    """How weights and alphas move, and when the search is over.

    `channels`, `cells` and `cascades` may make the searched network smaller than the trained one
    (null: the same); the cell is shared. `rows` as in training, `max_skips` as in `derive`.
    `order` is that of DARTS; `w_train`, `w_val` and `update` belong to MiLeNAS (Eq. 6).
    """

    method: Literal["darts", "milenas", "random"] = "darts"
    order: Literal["first", "second"] = "first"
    w_train: Weight = 1.0
    w_val: Weight = 1.0
    update: Literal["alpha_first", "simultaneous"] = "alpha_first"
    steps: Positive = 200
    batch: Positive = 1
    rows: Positive | None = None
    channels: Positive | None = None
    cells: Positive | None = None
    cascades: Positive | None = None
    max_skips: Annotated[int, Field(ge=0)] | None = None
    warmup: Annotated[int, Field(ge=0)] = 0
    check_every: Positive = 10
    patience: Annotated[int, Field(ge=0)] = 0
    candidates: Positive = 4
    weights: OptimConfig = OptimConfig(schedule="cosine", clip=5.0)
    alphas: OptimConfig = OptimConfig(
        rate=3e-3, betas=(0.5, 0.999), weight_decay=1e-3, schedule="constant"
    )


class TrainConfig(Section):
    """The networks to train, all with the same budget, data order and masks.

    The budget is `steps` or `epochs`; across clients it is the rounds of `federated` instead.
    With `rows` every step sees a random strip of that many image rows: k-space is undersampled
    along columns only, so a strip poses the same problem and costs less.
    """

    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("derived",)
    steps: Positive | None = None
    epochs: Positive | None = None
    batch: Positive = 1
    rows: Positive | None = None
    optimizer: OptimConfig = OptimConfig()
    validate_every: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_budget(self):
        if self.steps is not None and self.epochs is not None:
            raise ValueError(
                f"give either steps or epochs, found steps={self.steps} and epochs={self.epochs}"
            )
        return self


class TvConfig(Section):
    """Total variation: weight relative to the largest zero-filled magnitude."""

    weight: Annotated[float, Field(gt=0.0)] | None = None
    iterations: Positive = 150


class EvaluateConfig(Section):
    """Which untrained reconstructions stand beside the networks, and what is pictured."""

    classical: tuple[Literal["zero_filled", "tv"], ...] = ("zero_filled", "tv")
    tv: TvConfig = TvConfig()
    batch: Positive = 4


class ClientConfig(Section):
    """One client, such as a hospital.

    `data` null: the data of the config; `volumes` picks some of its volumes by name patterns.
    `acquisition` null: that of the config. `weight` replaces the number of its training slices.
    """

    name: Name
    data: DataConfig | None = None
    volumes: Patterns | None = None
    acquisition: AcquisitionConfig | None = None
    weight: Weight | None = None


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
        """What tables call it: the name, or else the strategy."""
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


class FederatedConfig(Section):
    """Clients, rounds and strategies; the optimisers are those of `search` and `train`.

    A round is `local_epochs` epochs or `local_steps` steps at every client that takes part, then
    one average with `weights`. `backend`, `chunk` (clients at a time; null: all, on CPU four) and
    `devices` only say how a round is computed. An update that is not finite stops the run, or is
    dropped.
    """

    clients: tuple[ClientConfig, ...] = ()
    partition: PartitionConfig | None = None
    search_rounds: Positive = 50
    rounds: Positive = 150
    local_epochs: Positive | None = None
    local_steps: Positive | None = None
    participation: Fraction = 1.0
    weights: Literal["samples", "equal"] = "samples"
    optimizer: Literal["keep", "reset"] = "keep"
    bad_update: Literal["stop", "drop"] = "stop"
    backend: Literal["vmap", "map", "loop"] = "vmap"
    chunk: Positive | None = None
    devices: Positive = 1
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


class Config(Section):
    """One reconstruction experiment; `federated` null: at one site."""

    task: Literal["reconstruction"] = "reconstruction"
    name: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] = STAGES
    genotype: str | None = None
    data: DataConfig = DataConfig()
    acquisition: AcquisitionConfig = AcquisitionConfig()
    network: NetworkConfig = NetworkConfig()
    search: SearchConfig = SearchConfig()
    train: TrainConfig = TrainConfig(steps=1000)
    evaluate: EvaluateConfig = EvaluateConfig()
    federated: FederatedConfig | None = None
    log_every: Positive = 10
    checkpoint_every: Positive = 100

    @model_validator(mode="after")
    def _a_budget(self):
        if self.federated is None and self.train.steps is None and self.train.epochs is None:
            raise ValueError("train: give either steps or epochs, found neither")
        return self

    _stages_in_order = model_validator(mode="after")(check_order)
