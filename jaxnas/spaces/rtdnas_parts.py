"""The parts that every network of the two-level space is put together from, one by one.

Whoever measures all of them on a device can add up any network. Operations read all channels, as
in a deployed network; the supernet's partial channels have no part here.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxnas.ops.norm_operations import NormOperation
from jaxnas.spaces.grid import CELL_TYPES
from jaxnas.spaces.rtdnas import TwoLevelSpace
from jaxnas.spaces.two_level_parts import (
    CLASS_COUNT,
    Head,
    Scaling,
    Stem,
    end_scales,
    head_doublings,
)


@dataclass(frozen=True)
class NetworkPart:
    """A part as a module (B, *size, cin) → (B, …, cout) with weights of its own.

    `kind` is `operation`, `scaling`, `stem` or `head`; `name` and the shapes identify the part:
    operations by their names, scalings as `scale_<cell type>`, `stem_stride<n>`, `head_double<n>`.
    `scale` is that of the input, of the output for the stem. `module` is called with the image
    alone, or with `train=False` too unless it is a head.
    """

    kind: str
    name: str
    scale: int
    module: nn.Module
    size: tuple[int, int]
    cin: int
    cout: int

    @property
    def options(self) -> dict[str, bool]:
        """The keyword arguments of `module` at inference."""
        return {} if self.kind == "head" else {"train": False}


def network_parts(
    space: TwoLevelSpace,
    size: tuple[int, int],
    *,
    channels: int = 32,
    inputs: int = 1,
    classes: int = CLASS_COUNT,
    stem_stride: int = 2,
    dtype: Any = jnp.float32,
) -> tuple[NetworkPart, ...]:
    """Everything a network of `space` may contain for images of `size` pixels: the stem, every
    operation at every scale, every scaling between two scales, a head where paths may end.

    ValueError unless stem_stride · 2^(scales − 1) divides both sides.
    """
    scales, step = space.grid.scales, stem_stride * 2 ** (space.grid.scales - 1)
    if any(side % step for side in size):
        raise ValueError(f"expected sides divisible by {step}, found {size}")
    stem = Stem(channels, stem_stride, dtype=dtype)
    parts = [NetworkPart("stem", f"stem_stride{stem_stride}", 0, stem, size, inputs, channels)]
    for scale in range(scales):
        width = channels * 2**scale
        own = tuple(side // (stem_stride * 2**scale) for side in size)
        for name in space.operations:
            operation = NormOperation(name, affine=True, dtype=dtype)
            parts.append(NetworkPart("operation", name, scale, operation, own, width, width))
        for direction, cell in enumerate(CELL_TYPES):
            target = scale + direction - 1
            if 0 <= target < scales:
                features = channels * 2**target
                scaling = Scaling(cell, features, dtype=dtype)
                name, joined = f"scale_{cell}", space.nodes * width
                parts.append(NetworkPart("scaling", name, scale, scaling, own, joined, features))
        if scale in end_scales(space.grid):
            doublings = head_doublings(scale, stem_stride)
            head = Head(doublings, classes, dtype)
            parts.append(
                NetworkPart("head", f"head_double{doublings}", scale, head, own, width, classes)
            )
    return tuple(parts)
