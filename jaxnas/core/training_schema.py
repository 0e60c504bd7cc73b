"""The sections that training and search share, whatever the task: how long, by which optimiser,
and what moves the alphas of a search."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from jaxnas.core.errors import UserError
from jaxnas.core.latency_schema import ACCURACY_ALONE, ObjectiveName
from jaxnas.core.sections import Decay, Fraction, Positive, Section, Weight

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
        if self.steps is None and self.epochs is None:
            raise ValueError("expected steps or epochs, found neither")
        return self.steps if self.epochs is None else self.epochs * per_epoch


class BilevelConfig(Budget):
    """The base of every search: the alphas stay where they are during the first `warmup` steps, or
    rounds across clients (null: a quarter of all); MiLeNAS weighs the losses of both halves of the
    data in their gradient (Eq. 6), and moves them before the weights or at once with them.

    `order` is that of DARTS. A search ends early once what would be built has been the same for
    `patience` checks (0: never); what is found during the warm-up does not count. `max_skips` as in
    `derive`. Random search ranks so many `candidates`, and has no alphas to keep still."""

    method: Literal["darts", "milenas", "random"] = "darts"
    order: Literal["first", "second"] = "first"
    objective: ObjectiveName = ACCURACY_ALONE
    max_skips: Annotated[int, Field(ge=0)] | None = None
    patience: Annotated[int, Field(ge=0)] = 0
    candidates: Positive = 4
    warmup: Annotated[int, Field(ge=0)] | None = 0
    w_train: Weight = 1.0
    w_val: Weight = 1.0
    update: Literal["alpha_first", "simultaneous"] = "alpha_first"

    @model_validator(mode="after")
    def _some_loss_moves_the_alphas(self):
        if self.method == "milenas" and self.w_train == self.w_val == 0:
            raise ValueError(
                "w_train and w_val are both 0, so no loss would move the alphas; make one of them "
                "positive"
            )
        return self

    @model_validator(mode="after")
    def _gradient_where_needed(self):
        if self.method == "random" and self.objective != ACCURACY_ALONE:
            raise ValueError(
                f"objective {self.objective} acts on the gradient of the alphas, which random "
                f"search has not; expected method darts or milenas, or objective: accuracy"
            )
        return self

    @model_validator(mode="after")
    def _second_order_where_there_is_one(self):
        if self.order == "second" and self.method != "darts":
            raise ValueError(
                f"order second is that of method darts; {self.method} has no second order, set "
                f"order: first"
            )
        return self

    def held(self, length: int) -> int:
        """The number of steps, or rounds, of a search of `length` before the alphas move."""
        return length // 4 if self.warmup is None else self.warmup


def check_lengths(config: Any) -> Any:
    """The config, of either task. ValueError where it does not say how long a search or a training
    at one site is, or where the alphas of its search would never move.

    A search over epochs is looked at once its data is open, see `check_warmup`.
    """
    if config.federated is None:
        for name in ("search", "train"):
            section = getattr(config, name)
            if section.steps is None and section.epochs is None:
                raise ValueError(f"{name}: give either steps or epochs, found neither")
    steps = config.search.steps if config.federated is None else config.federated.search_rounds
    if "search" in config.stages and steps is not None:
        check_warmup(config, steps)
    return config


def check_warmup(config: Any, length: int) -> None:
    """UserError unless the search of `length` steps, or rounds across clients, outlasts its
    warm-up. Random search has no alphas to keep still."""
    warmup = config.search.held(length)
    if config.search.method == "random" or warmup < length:
        return
    if config.federated is not None:
        found = f"federated.search_rounds is {length}"
    elif config.search.epochs is None:
        found = f"search.steps is {length}"
    else:
        found = f"search.epochs: {config.search.epochs} are {length} steps"
    raise UserError(
        f"search.warmup is {warmup} and {found}, so the alphas would never move; make warmup "
        f"smaller than {length}"
    )
