"""The sections of a config that training and search share: how long, and by which optimiser."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from jaxnas.core.sections import Decay, Fraction, Positive, Section

Rate = Annotated[float, Field(gt=0.0)]


SCHEDULES_WITH_AN_END = ("cosine", "linear", "exponential")


class OptimConfig(Section):
    """An optimiser and its schedule.

    `drops` are the fractions of the run where `step` divides the rate by ten (the paper: 0.5).
    `cosine`, `linear` and `exponential` lead from `rate` to `final` at the end of the run (null:
    to 0, which an exponential cannot reach). `weight_decay` is an L2 penalty, decoupled in `adamw`.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    rate: Rate = 1e-3
    final: Annotated[float, Field(ge=0.0)] | None = None
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    momentum: Decay = 0.9
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    schedule: Literal["constant", "step", "cosine", "linear", "exponential"] = "step"
    drops: tuple[Fraction, ...] = (0.5,)
    warmup: Annotated[int, Field(ge=0)] = 0
    clip: Annotated[float, Field(gt=0.0)] | None = None

    @model_validator(mode="after")
    def _an_end_that_is_reached(self):
        if self.schedule == "exponential" and not self.final:
            raise ValueError("schedule exponential never reaches 0; give it a final rate above 0")
        if self.final is None:
            return self
        if self.schedule not in SCHEDULES_WITH_AN_END:
            raise ValueError(
                f"final {self.final:g} is where a schedule out of "
                f"{', '.join(SCHEDULES_WITH_AN_END)} ends, found schedule {self.schedule}; choose "
                f"one of them, or set final: null"
            )
        if self.final > self.rate:
            raise ValueError(
                f"final {self.final:g} is above the rate {self.rate:g} that it starts from; lower "
                f"final, or set final: null"
            )
        return self


class Budget(Section):
    """A length: `steps`, or `epochs`, passes over what the weights are trained on; one of them."""

    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (("steps", "epochs"),)

    steps: Positive | None = None
    epochs: Positive | None = None

    @model_validator(mode="after")
    def _one_budget(self):
        if self.steps is not None and self.epochs is not None:
            raise ValueError(
                f"give either steps or epochs, found steps={self.steps} and epochs={self.epochs}; "
                f"set the other one to null"
            )
        return self

    def in_steps(self, per_epoch: int) -> int:
        """The budget in steps, for `per_epoch` batches in an epoch; ValueError without one."""
        if self.epochs is not None:
            return self.epochs * per_epoch
        if self.steps is None:
            raise ValueError("expected steps or epochs, found neither")
        return self.steps

    @property
    def length(self) -> int:
        """The budget of a config that counts in steps; ValueError for any other."""
        if self.steps is None:
            raise ValueError("expected a budget in steps, found none")
        return self.steps


class TrainingConfig(Budget):
    """The networks to train, all with the same budget and data order.

    The budget is `steps` or `epochs`; across clients it is the rounds of `federated` instead.
    Where nothing validates (`validate_every: 0`) the group `valid` trains too.
    """

    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("derived",)
    batch: Positive = 1
    validate_every: Annotated[int, Field(ge=0)] = 0
    optimizer: OptimConfig = OptimConfig()
