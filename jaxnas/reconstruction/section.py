"""The config of a reconstruction experiment, and the sections that are only its own."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from jaxnas.core.registry import Entry, OneOf, Registry
from jaxnas.core.sections import Experiment, Name, Patterns, Positive, Section, Weight
from jaxnas.data.section import DataConfig
from jaxnas.engine.section import TrainingConfig
from jaxnas.fed.section import RoundsConfig, check_plain_sgd
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.search.section import BilevelConfig, LatencyBudget, SelectConfig, check_lengths
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.section import NetworkConfig

# `l1`: the mean absolute difference (NAS-CSMRI, Eq. 16); `l2`: the norm of the difference of each
# image over the root of the number of values in it (FedAutoMRI, Eq. 4).
LOSSES = Registry(
    "loss",
    {"l1": Entry("jaxnas.reconstruction.loss:l1"), "l2": Entry("jaxnas.reconstruction.loss:l2")},
)


class LatencyConfig(LatencyBudget):
    """The latency of an unrolled network, from measured k-space to image; a network is measured for
    at least so many calls and seconds."""

    calls: Positive = 50
    seconds: Annotated[float, Field(ge=0.0)] = 1.0


class SearchConfig(BilevelConfig):
    """The search: how weights and alphas move, and when it is over.

    `channels`, `cells` and `cascades` may make the searched network smaller than the trained one
    (null: the same); the cell is shared. `rows` as in training. An `objective` other than accuracy
    needs the section `latency`.
    """

    loss: Annotated[str, OneOf(LOSSES)] = "l1"
    rows: Positive | None = None
    channels: Positive | None = None
    cells: Positive | None = None
    cascades: Positive | None = None


class TrainConfig(TrainingConfig):
    """The networks to train, all with the same masks too.

    With `rows` every step sees a random strip of that many image rows: where k-space is
    undersampled along columns only, a strip poses the same problem and costs less.
    """

    rows: Positive | None = None
    loss: Annotated[str, OneOf(LOSSES)] = "l1"


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


class ReconstructionConfig(Experiment):
    """One reconstruction experiment, at one site where `federated` is null; the latency of what is
    searched is measured where there is a section `latency`."""

    kind: ClassVar[str] = "jaxnas.reconstruction.kind:KIND"
    task: Literal["reconstruction"] = "reconstruction"
    data: DataConfig = DataConfig()
    acquisition: AcquisitionConfig = AcquisitionConfig()
    network: NetworkConfig = NetworkConfig()
    latency: LatencyConfig | None = None
    search: SearchConfig = SearchConfig(steps=200)
    select: SelectConfig | None = None
    train: TrainConfig = TrainConfig(steps=1000)
    evaluate: EvaluateConfig = EvaluateConfig()
    federated: FederatedConfig | None = None

    @property
    def timed(self) -> LatencyConfig:
        """The section `latency`; ValueError where there is none."""
        if self.latency is None:
            raise ValueError("expected a config with a section latency")
        return self.latency

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

    @model_validator(mode="after")
    def _a_space_that_the_latency_model_knows(self):
        if self.latency is None:
            return self
        if "body" in SPACES[self.network.space].arranged:
            raise ValueError(
                f"latency: no model predicts networks of space {self.network.space}; leave the "
                f"section latency out, or take another network.space"
            )
        if self.select is not None and self.select.arrangement:
            raise ValueError(
                "latency: its model knows the arrangement of section network alone; leave latency "
                "or select.arrangement out"
            )
        return self

    @model_validator(mode="after")
    def _a_budget_that_can_be_counted(self):
        if self.select and self.select.budget.ms is not None:
            raise ValueError(
                "select.budget.ms is of segmentation: no latency model knows an unrolled network "
                "in every arrangement; give select.budget.macs or params"
            )
        return self

    _long_enough = model_validator(mode="after")(check_lengths)
    _sgd_where_needed = model_validator(mode="after")(check_plain_sgd)
