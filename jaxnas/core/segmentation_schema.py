"""The config schema of a segmentation run (`task: segmentation`)."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from jaxnas.core.federated_schema import PartitionConfig, RoundsConfig, check_plain_sgd
from jaxnas.core.latency_schema import LatencyBudget, ObjectiveName
from jaxnas.core.places import HERE
from jaxnas.core.sections import (
    STAGES,
    Free,
    MatrixSize,
    Milliseconds,
    Name,
    Patterns,
    Positive,
    Section,
    Stage,
    Weight,
    check_order,
)
from jaxnas.core.training_schema import BilevelConfig, Budget, OptimConfig, check_lengths


class HeartConfig(Section):
    """The embedded source: beating-heart phantoms, a pure function of the seed."""

    patients: Positive = 20
    slices: Positive = 6
    frames: Positive = 8
    size: MatrixSize = (96, 96)


class PatientSplitConfig(Section):
    """The patients that train, validate and test.

    `fractions` draws them at random; `nnunet` tests on fold `fold` of nnU-Net's five, `modulo` on
    the patients whose number is `fold` modulo five. `valid_fraction` is of those that train.
    """

    method: Literal["fractions", "nnunet", "modulo"] = "fractions"
    fold: Annotated[int, Field(ge=0, le=4)] = 0
    valid_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    test_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2

    @property
    def by_fractions(self) -> bool:
        """True where groups are drawn by fractions: then a client is split by itself."""
        return self.method == "fractions"


class LabeledDataConfig(Section):
    """The source of images and labels, and the preparation of their slices.

    `spacing` is the in-plane pixel size in mm after resampling (null: as in the file), `size` the
    centre crop, `clip` the percentiles of a volume between which intensities are kept. `phases:
    ed_es` leaves out all labelled frames but end-diastole and end-systole.
    """

    source: Literal["heart", "acdc", "sunnybrook"] = "heart"
    path: Annotated[str | None, Free.PLACE] = None
    phases: Literal["all", "ed_es"] = "all"
    heart: HeartConfig = HeartConfig()
    split: PatientSplitConfig = PatientSplitConfig()
    spacing: Annotated[float, Field(gt=0.0)] | None = 1.5
    size: MatrixSize = (160, 160)
    clip: tuple[float, float] = (1.0, 99.0)

    @model_validator(mode="after")
    def _path_where_needed(self):
        if self.source != "heart" and not self.path:
            raise ValueError(f"path is required for source {self.source!r}")
        return self

    @property
    def place(self) -> tuple:
        """Equal for sections whose patients of one name are the same."""
        return (self.source, self.path)

    @model_validator(mode="after")
    def _percentiles(self):
        low, high = self.clip
        if not 0.0 <= low < high <= 100.0:
            raise ValueError(f"clip must be two rising percentiles, found {low} and {high}")
        return self


OperationName = Literal[
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "conv_3x3",
    "max_pool_3x3",
    "avg_pool_3x3",
]
# What a cell is searched over unless a config says otherwise: all but the pools.
SEGMENTATION_OPERATIONS: tuple[OperationName, ...] = (
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "conv_3x3",
)


class TwoLevelConfig(Section):
    """The network around the searched cells.

    `layers` of modules on `scales` scales, the paths starting at scale 0 and ending there (`end:
    start`) or anywhere. Scale s has `channels`·2^s channels. A derived node keeps `cell_topk`
    picks.
    """

    space: Literal["rtdnas"] = "rtdnas"
    operations: Annotated[tuple[OperationName, ...], Field(min_length=2)] = SEGMENTATION_OPERATIONS
    layers: Annotated[int, Field(ge=2)] = 10
    scales: Annotated[int, Field(ge=2, le=6)] = 4
    end: Literal["start", "any"] = "start"
    channels: Positive = 32
    stem_stride: Literal[1, 2] = 2
    cell_topk: Literal[1, 2] = 2
    unet_channels: Positive = 16
    dtype: Literal["float32", "bfloat16"] = "float32"


class LatencyConfig(LatencyBudget):
    """The latency of a network on the grid; `probabilities` are those of the cells in Eq. 5.

    Below `min_fps` frames a second a network is not in real time.
    """

    min_fps: Annotated[float, Field(gt=0.0)] = 22.0
    stack: Positive = 10
    probabilities: Literal["end_to_end", "forward", "beta"] = "end_to_end"


# `dice_cross_entropy` adds the soft Dice of the batch.
LabelLossName = Literal["cross_entropy", "dice_cross_entropy"]


class TwoLevelSearchConfig(BilevelConfig):
    """The search: how weights and logits move.

    `channels` is the width of the supernet, of which one part in `partial` goes through the
    operations. `relaxation: separate` is that of MS-NAS.
    """

    objective: ObjectiveName = "stable"
    loss: LabelLossName = "cross_entropy"
    relaxation: Literal["joint", "separate"] = "joint"
    batch: Positive = 4
    channels: Positive = 16
    partial: Positive = 4
    warmup: Annotated[int, Field(ge=0)] | None = None
    check_every: Positive = 20
    weights: OptimConfig = OptimConfig(
        name="sgd", rate=1e-2, weight_decay=3e-4, schedule="cosine", clip=5.0
    )
    alphas: OptimConfig = OptimConfig(
        rate=3e-3, betas=(0.5, 0.999), weight_decay=1e-3, schedule="constant", clip=5.0
    )


def _pairs(value: Any) -> Any:
    return tuple(value.items()) if isinstance(value, dict) else value


# A mapping in the file; pairs here, because a section is immutable and hashable.
NamedFiles = Annotated[
    tuple[tuple[Name, str], ...],
    BeforeValidator(_pairs),
    PlainSerializer(dict, return_type=dict[str, str]),
]
DecoderName = Literal["dijkstra", "ga", "exhaustive", "constrained", "random"]


class DecodeConfig(Section):
    """The networks to make of paths: every method at every number of `paths`, `constrained` at
    every budget, and `random`, which ignores the search, `draws` times over the numbers of paths.
    The pool are the best paths, of which the genetic algorithm and the exhaustive search choose the
    fastest set. Where a single network is made `name` can say what it is called."""

    name: Name | None = None
    methods: Annotated[tuple[DecoderName, ...], Field(min_length=1)] = (
        "dijkstra",
        "ga",
        "constrained",
    )
    paths: Annotated[tuple[Positive, ...], Field(min_length=1)] = (3, 5, 7)
    budgets_ms: tuple[Milliseconds, ...] = ()
    pool: Positive = 10
    population: Annotated[int, Field(ge=2)] = 20
    generations: Positive = 100
    draws: Positive = 8

    @model_validator(mode="after")
    def _paths_in_the_pool(self):
        if max(self.paths) > self.pool:
            raise ValueError(f"paths {max(self.paths)} is more than the pool of {self.pool} has")
        return self

    @model_validator(mode="after")
    def _one_network_of_a_name(self):
        counts = {"constrained": len(self.budgets_ms) or 1, "random": self.draws}
        made = sum(counts.get(method, len(self.paths)) for method in self.methods)
        if self.name is not None and made > 1:
            raise ValueError(
                f"name {self.name!r} is for a single network, but {made} are made; ask for one "
                f"method at one number of paths, or leave name out"
            )
        return self


class AugmentConfig(Section):
    """Random changes of a training slice, uniform within ± the value; no flips, because a heart is
    not its mirror image."""

    rotation: Annotated[float, Field(ge=0.0, le=180.0)] = 30.0
    scale: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.15
    shift: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.06
    brightness: Annotated[float, Field(ge=0.0)] = 0.2
    gamma: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    contrast: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    noise: Annotated[float, Field(ge=0.0)] = 0.05


class SegmentationTrainConfig(Budget):
    """The networks to train, all with the same budget and data order; `decoded` stands for every
    network of `decode`, `derived` for the one of `genotype`, and those of `genotypes` go by their
    names. With `folds` each is trained once per fold and scored on all of them.

    A trained network normalises by the statistics of so many batches; every validation takes them
    anew. Where nothing validates (`validate_every: 0`) the validation patients train too."""

    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("decoded",)
    batch: Positive = 8
    loss: LabelLossName = "cross_entropy"
    folds: tuple[Annotated[int, Field(ge=0, le=4)], ...] | None = None
    augment: AugmentConfig = AugmentConfig()
    statistics: Positive = 50
    validate_every: Annotated[int, Field(ge=0)] = 0
    optimizer: OptimConfig = OptimConfig(
        name="sgd", rate=1e-2, weight_decay=3e-4, schedule="cosine", clip=5.0
    )


class SegmentationEvaluateConfig(Section):
    """The measurement of latency: at least so many calls and seconds per network."""

    calls: Positive = 100
    seconds: Annotated[float, Field(ge=0.0)] = 2.0


class LabeledClientConfig(Section):
    """One client, such as a hospital.

    `data` null: the data of the config; one of its own stands alone and takes nothing over from
    it. `patients` picks some of its patients by name patterns. `weight` replaces the number of its
    training slices.
    """

    name: Name
    data: LabeledDataConfig | None = None
    patients: Patterns | None = None
    weight: Weight | None = None


class LabeledPartitionConfig(PartitionConfig):
    """The patients of one dataset divided: `by` is `group`, the diagnosis, or a pattern over their
    names."""

    by: str = "group"


class LabeledFederatedConfig(RoundsConfig):
    """Clients with data, or some of the patients of the data of the config."""

    clients: tuple[LabeledClientConfig, ...] = ()
    partition: LabeledPartitionConfig | None = None


class SegmentationConfig(Section):
    """One segmentation experiment; `genotypes` names files with networks found elsewhere. Relative
    paths of data, also of clients', are looked up under `root`."""

    task: Literal["segmentation"]
    name: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] = STAGES
    root: Annotated[str, Free.PLACE] = HERE
    genotype: Annotated[str | None, Free.PLACE] = None
    genotypes: Annotated[NamedFiles, Free.PLACE] = ()
    data: LabeledDataConfig = LabeledDataConfig()
    network: TwoLevelConfig = TwoLevelConfig()
    latency: LatencyConfig = LatencyConfig()
    search: TwoLevelSearchConfig = TwoLevelSearchConfig(steps=400)
    decode: DecodeConfig = DecodeConfig()
    train: SegmentationTrainConfig = SegmentationTrainConfig(steps=1000)
    evaluate: SegmentationEvaluateConfig = SegmentationEvaluateConfig()
    federated: LabeledFederatedConfig | None = None
    log_every: Positive = 10
    checkpoint_every: Positive = 100

    _stages_in_order = model_validator(mode="after")(check_order)
    _long_enough = model_validator(mode="after")(check_lengths)
    _sgd_where_needed = model_validator(mode="after")(check_plain_sgd)

    @model_validator(mode="after")
    def _folds_at_one_site(self):
        if self.federated is not None and self.train.folds is not None:
            raise ValueError(
                f"train.folds {self.train.folds} are of one site; leave them out across clients"
            )
        return self

    @model_validator(mode="after")
    def _size_fits(self):
        step = self.network.stem_stride * 2 ** (self.network.scales - 1)
        if any(n % step for n in self.data.size):
            raise ValueError(
                f"data.size {self.data.size} must be divisible by {step}, which is stem_stride "
                f"times 2^(scales - 1)"
            )
        return self
