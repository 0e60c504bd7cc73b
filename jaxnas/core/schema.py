"""The schema of a config: frozen models, every bound stated once, every default documented."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from jaxnas.core.federated_schema import RoundsConfig, check_plain_sgd
from jaxnas.core.latency_schema import UnrolledLatencyConfig
from jaxnas.core.places import HERE
from jaxnas.core.sections import (
    STAGES,
    Fraction,
    Free,
    MatrixSize,
    Name,
    Patterns,
    Positive,
    Section,
    Stage,
    Weight,
    check_order,
)
from jaxnas.core.training_schema import BilevelConfig, Budget, OptimConfig, check_lengths


class SyntheticConfig(Section):
    """The embedded source: anatomy-like phantoms, a pure function of the seed."""

    volumes: Positive = 12
    slices: Positive = 8
    size: MatrixSize = (128, 128)
    coils: Positive = 1


class SplitConfig(Section):
    """The volumes that train, validate and test: name patterns, or fractions when none is given.

    `by` says what must not stand on two sides, nor at two clients or in both halves of a search:
    a subject, as the files name it, with all its volumes, or a volume alone.
    """

    by: Literal["subject", "volume"] = "subject"
    train: Patterns | None = None
    valid: Patterns | None = None
    test: Patterns | None = None
    valid_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    test_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2

    @property
    def by_fractions(self) -> bool:
        """True where groups are drawn by fractions: then a client is split by itself."""
        return self.train is None

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
    """The source of the volumes, and the crop of their slices.

    `origin` says where files of k-space, fastMRI's or plain arrays, have the zero frequency.
    `domain`, `dataset`, `axes` and `sens` describe plain arrays: what the numbers are, the name of
    the array in its file (`*`: every array is a volume), its axes in letters (S slice, C coil, H,
    W) and the name of the coil sensitivities in the same file. `slices` keeps start:stop:step of
    every volume. `coils: combined` makes emulated single-coil slices of multi-coil ones. Images are
    first padded with zeros, then cropped.
    """

    source: Literal["synthetic", "fastmri", "arrays", "modl_brain", "cc359"] = "synthetic"
    path: Annotated[str | Patterns | None, Free.PLACE] = None
    origin: Literal["center", "corner"] = "center"
    domain: Literal["kspace", "image", "magnitude"] = "kspace"
    dataset: str | None = None
    axes: str | None = None
    sens: str | None = None
    slices: Annotated[str, Field(pattern=r"^-?\d*:-?\d*(:[1-9]\d*)?$")] | None = None
    coils: Literal["all", "combined"] = "all"
    pad: MatrixSize | None = None
    crop: MatrixSize | None = None
    synthetic: SyntheticConfig = SyntheticConfig()
    split: SplitConfig = SplitConfig()

    @model_validator(mode="after")
    def _path_where_needed(self):
        if self.source != "synthetic" and not self.path:
            raise ValueError(f"path is required for source {self.source!r}")
        return self

    @property
    def place(self) -> tuple:
        """Equal for sections whose volumes of one name are the same, however they are cut."""
        return (self.source, self.path, self.dataset)


ColumnMask = Literal["random", "equispaced", "equispaced_fraction", "magic", "magic_fraction"]
PointMask = Literal["random_2d", "poisson"]


class AcquisitionConfig(Section):
    """The simulated acquisition: one mask kind, accelerations drawn with equal probability.

    Kinds sample whole columns of k-space, or single points of it (`random_2d` denser towards the
    centre, `poisson` evenly). A centre fraction is that of the width, for points the diameters of
    an ellipse as fractions of height and width. `noise` is the standard deviation of complex
    Gaussian noise on every sample of k-space, relative to the largest magnitude of the slice.
    """

    mask: Literal[ColumnMask, PointMask] = "random"
    accelerations: Annotated[tuple[Annotated[float, Field(ge=1.0)], ...], Field(min_length=1)] = (
        4.0,
        8.0,
    )
    center_fractions: Annotated[tuple[Fraction, ...], Field(min_length=1)] = (0.08, 0.04)
    noise: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    peak: Annotated[float, Field(gt=0.0)] = 6.0

    @property
    def whole_columns(self) -> bool:
        """True if masks sample whole columns of k-space, not single points."""
        return self.mask in get_args(ColumnMask)

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
    `baseline_channels` is the width of the hand-made networks (null: `channels`). `plan` says how
    a mixed edge is computed, with equal results; `auto` picks the fastest on the device. `remat`
    says what the backward pass computes again to save memory, every cell of a searched network or
    every cascade of any; on a CPU it takes several cascades to save something.
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
    plan: Literal["auto", "branch", "stack", "dense"] = "auto"
    remat: Literal["none", "cells", "cascades"] = "none"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _lam_to_learn(self):
        if self.learn_lam and self.lam is None:
            raise ValueError("learn_lam needs a finite starting value in lam, found null")
        return self


# `l1`: the mean absolute difference (NAS-CSMRI, Eq. 16); `l2`: the norm of the difference of each
# image over the root of the number of values in it (FedAutoMRI, Eq. 4).
ImageLoss = Literal["l1", "l2"]


class SearchConfig(BilevelConfig):
    """The search: how weights and alphas move, and when it is over.

    `channels`, `cells` and `cascades` may make the searched network smaller than the trained one
    (null: the same); the cell is shared. `rows` as in training. An `objective` other than accuracy
    needs the section `latency`.
    """

    loss: ImageLoss = "l1"
    batch: Positive = 1
    rows: Positive | None = None
    channels: Positive | None = None
    cells: Positive | None = None
    cascades: Positive | None = None
    check_every: Positive = 10
    weights: OptimConfig = OptimConfig(schedule="cosine", clip=5.0)
    alphas: OptimConfig = OptimConfig(
        rate=3e-3, betas=(0.5, 0.999), weight_decay=1e-3, schedule="constant"
    )


class TrainConfig(Budget):
    """The networks to train, all with the same budget, data order and masks.

    The budget is `steps` or `epochs`; across clients it is the rounds of `federated` instead.
    Where nothing validates (`validate_every: 0`) the validation volumes train too.
    With `rows` every step sees a random strip of that many image rows: where k-space is
    undersampled along columns only, a strip poses the same problem and costs less.
    """

    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("derived",)
    batch: Positive = 1
    rows: Positive | None = None
    loss: ImageLoss = "l1"
    optimizer: OptimConfig = OptimConfig()
    validate_every: Annotated[int, Field(ge=0)] = 0


class TvConfig(Section):
    """Total variation: weight relative to the largest zero-filled magnitude."""

    weight: Annotated[float, Field(gt=0.0)] | None = None
    iterations: Positive = 150


class EvaluateConfig(Section):
    """The untrained reconstructions beside the networks, scored and pictured like them."""

    classical: tuple[Literal["zero_filled", "tv"], ...] = ("zero_filled", "tv")
    tv: TvConfig = TvConfig()
    batch: Positive = 4


class ClientConfig(Section):
    """One client, such as a hospital.

    `data` null: the data of the config; `volumes` picks some of its volumes by name patterns.
    `acquisition` null: that of the config. Either stands alone where it is given: it takes nothing
    over from that of the config. `weight` replaces the number of its training slices.
    """

    name: Name
    data: DataConfig | None = None
    volumes: Patterns | None = None
    acquisition: AcquisitionConfig | None = None
    weight: Weight | None = None


class FederatedConfig(RoundsConfig):
    """Clients with data, or parts of the data of the config."""

    clients: tuple[ClientConfig, ...] = ()


class Config(Section):
    """One reconstruction experiment, at one site where `federated` is null; the latency of what is
    searched is measured where there is a section `latency`. Relative paths of data, also of
    clients', are looked up under `root`."""

    task: Literal["reconstruction"] = "reconstruction"
    name: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] = STAGES
    root: Annotated[str, Free.PLACE] = HERE
    genotype: Annotated[str | None, Free.PLACE] = None
    data: DataConfig = DataConfig()
    acquisition: AcquisitionConfig = AcquisitionConfig()
    network: NetworkConfig = NetworkConfig()
    latency: UnrolledLatencyConfig | None = None
    search: SearchConfig = SearchConfig(steps=200)
    train: TrainConfig = TrainConfig(steps=1000)
    evaluate: EvaluateConfig = EvaluateConfig()
    federated: FederatedConfig | None = None
    log_every: Positive = 10
    checkpoint_every: Positive = 100

    @property
    def acquisitions(self) -> tuple[AcquisitionConfig, ...]:
        """The acquisitions of the clients, or the config's own where none are listed."""
        clients = self.federated.clients if self.federated else ()
        return tuple(c.acquisition or self.acquisition for c in clients) or (self.acquisition,)

    @model_validator(mode="after")
    def _strips_of_whole_columns(self):
        points = [asked.mask for asked in self.acquisitions if not asked.whole_columns]
        for section in ("search", "train"):
            rows = getattr(self, section).rows
            if points and rows is not None:
                raise ValueError(
                    f"{section}.rows is {rows}, but acquisition.mask {points[0]} undersamples both "
                    f"axes, so that a strip of rows is another problem than the slice; set "
                    f"{section}.rows to null, or take a mask of whole columns"
                )
        return self

    @model_validator(mode="after")
    def _a_latency(self):
        if self.search.objective != "accuracy" and self.latency is None:
            raise ValueError(
                f"search.objective is {self.search.objective}, which needs a latency section; "
                f"expected one with at least budget_ms"
            )
        return self

    _stages_in_order = model_validator(mode="after")(check_order)
    _long_enough = model_validator(mode="after")(check_lengths)
    _sgd_where_needed = model_validator(mode="after")(check_plain_sgd)
