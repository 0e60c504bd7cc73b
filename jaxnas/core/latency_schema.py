"""The sections of a config on latency: what it is, the budget, and how a search is held to it."""

from typing import Annotated, Literal

from pydantic import Field

from jaxnas.core.sections import Free, Milliseconds, Positive, Section, Weight

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


class UnrolledLatencyConfig(LatencyBudget):
    """The latency of an unrolled network, from measured k-space to image; a network is measured for
    at least so many calls and seconds."""

    calls: Positive = 50
    seconds: Annotated[float, Field(ge=0.0)] = 1.0
