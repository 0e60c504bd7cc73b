"""The config of a segmentation experiment (`task: segmentation`), and the sections that are only
its own."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from jaxnas.core.registry import Entry, OneOf, Registry
from jaxnas.core.sections import (
    Experiment,
    Free,
    Name,
    Patterns,
    Positive,
    Section,
    Weight,
    pairs_of,
)
from jaxnas.data.section import LabeledDataConfig
from jaxnas.engine.section import OptimConfig, TrainingConfig
from jaxnas.fed.section import PartitionConfig, RoundsConfig, check_plain_sgd
from jaxnas.search.section import (
    BilevelConfig,
    DecodeConfig,
    LatencyBudget,
    ObjectiveName,
    SelectConfig,
    check_lengths,
)
from jaxnas.spaces.section import TwoLevelConfig

# `dice_cross_entropy` adds the soft Dice of the batch.
LOSSES = Registry(
    "loss",
    {
        "cross_entropy": Entry("jaxnas.segmentation.loss:cross_entropy"),
        "dice_cross_entropy": Entry("jaxnas.segmentation.loss:dice_cross_entropy"),
    },
)


class LatencyConfig(LatencyBudget):
    """The latency of a network on the grid; `probabilities` are those of the cells in Eq. 5.

    Below `min_fps` frames a second a network is not in real time.
    """

    min_fps: Annotated[float, Field(gt=0.0)] = 22.0
    stack: Positive = 10
    probabilities: Literal["end_to_end", "forward", "beta"] = "end_to_end"


class SearchConfig(BilevelConfig):
    """The search: how weights and logits move.

    `channels` is the width of the supernet, of which one part in `partial` goes through the
    operations. `relaxation: separate` is that of MS-NAS.
    """

    objective: ObjectiveName = "stable"
    loss: Annotated[str, OneOf(LOSSES)] = "cross_entropy"
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


# A mapping in the file; pairs here, because a section is immutable and hashable.
NamedFiles = Annotated[
    tuple[tuple[Name, str], ...],
    BeforeValidator(pairs_of),
    PlainSerializer(dict, return_type=dict[str, str]),
]


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


class TrainConfig(TrainingConfig):
    """The networks to train, all with the same budget and data order; `decoded` stands for every
    network of `decode`, `derived` for the one of `genotype`, and those of `genotypes` go by their
    names. With `folds` each is trained once per fold and scored on all of them.

    A trained network normalises by the statistics of so many batches; every validation takes them
    anew. Where nothing validates (`validate_every: 0`) the validation patients train too."""

    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("decoded",)
    batch: Positive = 8
    loss: Annotated[str, OneOf(LOSSES)] = "cross_entropy"
    folds: tuple[Annotated[int, Field(ge=0, le=4)], ...] | None = None
    augment: AugmentConfig = AugmentConfig()
    statistics: Positive = 50
    optimizer: OptimConfig = OptimConfig(
        name="sgd", rate=1e-2, weight_decay=3e-4, schedule="cosine", clip=5.0
    )


class EvaluateConfig(Section):
    """The measurement of latency: at least so many calls and seconds per network."""

    calls: Positive = 100
    seconds: Annotated[float, Field(ge=0.0)] = 2.0


class ClientConfig(Section):
    """One client, such as a hospital.

    `data` null: the data of the config; one of its own stands alone and takes nothing over from
    it. `patients` picks some of its patients by name patterns. `weight` replaces the number of its
    training slices.
    """

    name: Name
    data: LabeledDataConfig | None = None
    patients: Patterns | None = None
    weight: Weight | None = None


class PatientPartitionConfig(PartitionConfig):
    """The patients of one dataset divided: `by` is `group`, the diagnosis, or a pattern over their
    names."""

    by: str = "group"


class FederatedConfig(RoundsConfig):
    """Clients with data, or some of the patients of the data of the config."""

    clients: tuple[ClientConfig, ...] = ()
    partition: PatientPartitionConfig | None = None


class SegmentationConfig(Experiment):
    """One segmentation experiment; `genotypes` names files with networks found elsewhere."""

    kind: ClassVar[str] = "jaxnas.segmentation.kind:KIND"
    task: Literal["segmentation"]
    genotypes: Annotated[NamedFiles, Free.PLACE] = ()
    data: LabeledDataConfig = LabeledDataConfig()
    network: TwoLevelConfig = TwoLevelConfig()
    latency: LatencyConfig = LatencyConfig()
    search: SearchConfig = SearchConfig(steps=400)
    decode: DecodeConfig = DecodeConfig()
    select: SelectConfig | None = None
    train: TrainConfig = TrainConfig(steps=1000)
    evaluate: EvaluateConfig = EvaluateConfig()
    federated: FederatedConfig | None = None

    @model_validator(mode="after")
    def _a_width_that_the_latency_model_knows(self):
        if self.select and self.select.budget.ms is not None and self.select.arrangement:
            raise ValueError(
                "select.budget.ms goes with the channels of section network alone, which the "
                "latency model knows; leave select.arrangement out, or give select.budget.macs"
            )
        return self

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
