"""The sections of a config on a search: what moves its alphas, the latency that it is held to, and
the networks made of paths."""

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from jaxnas.core.errors import UserError
from jaxnas.core.registry import OneOf
from jaxnas.core.sections import (
    Fraction,
    Free,
    Milliseconds,
    Name,
    Positive,
    Section,
    Weight,
    pairs_of,
)
from jaxnas.engine.section import Budget, OptimConfig
from jaxnas.search.registry import DECODERS, METHODS

# `accuracy` alone, Eq. 2 of RT-DNAS (`stable`, or `exp` to the letter, which overflows), its
# penalty without the product (`bound`), or a regulariser of ProxylessNAS.
ObjectiveName = Literal["accuracy", "stable", "bound", "exp", "add_linear", "mul_log"]


ACCURACY_ALONE: ObjectiveName = "accuracy"


class LatencyBudget(Section):
    """The latency of a network, and the bound it is held to (RT-DNAS, Eqs. 2–4).

    `table` is what `jaxnas profile` wrote (null: measured on this device at the start). A frame are
    `stack` slices at once. `path` adds the operations of a cell up, or takes its longest path
    (Eq. 4). The model is calibrated on so many measured random networks. Above the budget the
    penalty of Eq. 2 is `weight` times exp((L - budget) / `tau`), and goes on as a line beyond
    `knee`.
    """

    table: Annotated[str | None, Free.PLACE] = None
    budget_ms: Milliseconds = 50.0
    stack: Positive = 1
    path: Literal["longest", "serial"] = "serial"
    calibration: Annotated[int, Field(ge=3)] = 20
    weight: Weight = 1.0
    tau: Milliseconds = 1.0
    knee: Annotated[float, Field(ge=0.0)] = 3.0


class BilevelConfig(Budget):
    """The base of every search: the alphas stay where they are during the first `warmup` steps, or
    rounds across clients (null: a quarter of all); MiLeNAS weighs the losses of both halves of the
    data in their gradient (Eq. 6), and moves them before the weights or at once with them.

    `order` is that of DARTS. A search ends early once what would be built has been the same for
    `patience` checks (0: never); what is found during the warm-up does not count. `max_skips` as in
    `derive`. Random search ranks so many `candidates`, and has no alphas to keep still."""

    method: Annotated[str, OneOf(METHODS)] = "darts"
    order: Literal["first", "second"] = "first"
    objective: ObjectiveName = ACCURACY_ALONE
    max_skips: Annotated[int, Field(ge=0)] | None = None
    patience: Annotated[int, Field(ge=0)] = 0
    candidates: Positive = 4
    warmup: Annotated[int, Field(ge=0)] | None = 0
    w_train: Weight = 1.0
    w_val: Weight = 1.0
    update: Literal["alpha_first", "simultaneous"] = "alpha_first"
    batch: Positive = 1
    check_every: Positive = 10
    weights: OptimConfig = OptimConfig(schedule="cosine", clip=5.0)
    alphas: OptimConfig = OptimConfig(
        rate=3e-3, betas=(0.5, 0.999), weight_decay=1e-3, schedule="constant"
    )

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

    def held(self, length: int | None = None) -> int:
        """The number of steps, or rounds, of a search of `length` (None: its own steps) before the
        alphas move."""
        if self.warmup is not None:
            return self.warmup
        return (self.length if length is None else length) // 4


class BudgetConfig(Section):
    """The most that a selected network may cost: multiply-accumulates of one image, parameters,
    milliseconds of a frame on this device as its latency model predicts them.

    What costs less than the share `least` of it is not tried: computation is what helps surest.
    """

    macs: Positive | None = None
    params: Positive | None = None
    ms: Milliseconds | None = None
    least: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.7

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are given, by name."""
        given = {"macs": self.macs, "params": self.params, "ms": self.ms}
        return {name: limit for name, limit in given.items() if limit is not None}

    def describe(self) -> str:
        """The limits in words."""
        said = [f"at most {limit:,} {name}" for name, limit in self.limits.items()]
        return " and ".join(said) or "no limit"


# A mapping in the file; pairs here, because a section is immutable and hashable.
Choices = Annotated[
    tuple[tuple[str, Annotated[tuple[Any, ...], Field(min_length=1)]], ...],
    BeforeValidator(pairs_of),
    PlainSerializer(dict, return_type=dict[str, tuple[Any, ...]]),
]


class SelectConfig(Section):
    """The selection by real training, of so many `candidates`: the best 1/`eta` of each of `rungs`
    rungs go on (see `search.halving`).

    At least the share `random` is drawn uniformly. `arrangement` gives values to choose from for
    keys of the section network that the space arranges; all others are as they stand there.
    """

    candidates: Annotated[int, Field(ge=2)] = 12
    eta: Annotated[int, Field(ge=2)] = 3
    rungs: Positive = 2
    random: Fraction = 1 / 3
    arrangement: Choices = ()
    budget: BudgetConfig = BudgetConfig()

    @property
    def random_count(self) -> int:
        """The candidates that are drawn uniformly, at least."""
        return math.ceil(self.random * self.candidates)

    @model_validator(mode="after")
    def _something_to_choose_at_every_rung(self):
        if self.candidates < self.eta:
            raise ValueError(
                f"candidates is {self.candidates} and eta {self.eta}, so none could be dropped; "
                f"expected at least as many candidates as eta"
            )
        if self.candidates // self.eta ** (self.rungs - 1) < 2:
            raise ValueError(
                f"rungs is {self.rungs}, but of {self.candidates} candidates a single one is left "
                f"before the last rung; expected fewer rungs, a smaller eta or more candidates"
            )
        return self


class DecodeConfig(Section):
    """The networks to make of paths: every method at every number of `paths`, `constrained` at
    every budget, and `random`, which ignores the search, `draws` times over the numbers of paths.
    The pool are the best paths, of which the genetic algorithm and the exhaustive search choose the
    fastest set. Where a single network is made `name` can say what it is called."""

    name: Name | None = None
    methods: Annotated[tuple[Annotated[str, OneOf(DECODERS)], ...], Field(min_length=1)] = (
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
