"""The sections of a config on the network around what is searched."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from jaxnas.core.registry import OneOf
from jaxnas.core.sections import Positive, Section
from jaxnas.ops.registry import NORM_OPERATIONS
from jaxnas.spaces.registry import SPACES, TWO_LEVEL_SPACES


class NetworkConfig(Section):
    """The network around the searched or hand-made denoiser.

    `lam` is λ of Eq. 8 (null: the noiseless limit, measured samples are kept exactly). With
    `shared` all cascades of a searched network have one denoiser, as in MoDL. `edges` says how
    a derived edge adds several operations: as they are, or by their renormalised weights.
    `baseline_channels` is the width of the hand-made networks (null: `channels`). `plan` says how
    a mixed edge is computed, with equal results; `auto` picks the fastest on the device. `remat`
    says what the backward pass computes again to save memory, every cell of a searched network or
    every cascade of any; on a CPU it takes several cascades to save something. `bias` and `body`
    are of the space `unrolled` alone (see `spaces.residual`).
    """

    space: Annotated[str, OneOf(SPACES)] = "csmri_a"
    channels: Positive = 32
    baseline_channels: Positive | None = None
    cells: Positive = 3
    nodes: Positive = 3
    cascades: Positive = 3
    shared: bool = False
    bias: bool = True
    body: Literal["residual", "recursive"] = "residual"
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

    @model_validator(mode="after")
    def _a_body_where_there_is_one(self):
        for name in ("bias", "body"):
            own = type(self).model_fields[name].default
            if getattr(self, name) != own and name not in SPACES[self.space].arranged:
                raise ValueError(
                    f"{name} is of a space whose cells are residual, found space {self.space}; set "
                    f"space: unrolled, or leave {name} out"
                )
        return self


# What a cell is searched over unless a config says otherwise: all but the pools.
SEGMENTATION_OPERATIONS: tuple[str, ...] = (
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

    space: Annotated[str, OneOf(TWO_LEVEL_SPACES)] = "rtdnas"
    operations: Annotated[
        tuple[Annotated[str, OneOf(NORM_OPERATIONS)], ...], Field(min_length=2)
    ] = SEGMENTATION_OPERATIONS
    layers: Annotated[int, Field(ge=2)] = 10
    scales: Annotated[int, Field(ge=2, le=6)] = 4
    end: Literal["start", "any"] = "start"
    channels: Positive = 32
    stem_stride: Literal[1, 2] = 2
    cell_topk: Literal[1, 2] = 2
    unet_channels: Positive = 16
    dtype: Literal["float32", "bfloat16"] = "float32"
