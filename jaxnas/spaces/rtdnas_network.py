"""The network of a genotype of the two-level space: the cells of all its paths, each once.

Tiles are the plain sum of the cells that lead to them, nodes the plain sum of their picks, and
operations read all channels. What no path uses does not exist. `network_parts` lists the parts of
all such networks: whoever measures them on a device can add up any network.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.trees import add_up
from jaxnas.ops.norm_operations import NormOperation
from jaxnas.spaces.genotype import Genotype, Node
from jaxnas.spaces.grid import CELL_TYPES, union_cells
from jaxnas.spaces.rtdnas import TwoLevelSpace
from jaxnas.spaces.two_level_parts import (
    CLASS_COUNT,
    Head,
    Scaling,
    Stem,
    check_image,
    end_scales,
    head_doublings,
)


class PickedCell(nn.Module):
    """A cell of picked operations and its scaling.

    Attributes:
      picks: the nodes; input 0 is the cell's input, i is X_i.
      cell: the type of the cell.
      features: the channels of the tile it leads to.
      affine: whether normalisation has parameters.
    """

    picks: tuple[Node, ...]
    cell: str
    features: int
    affine: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Tile (B, H, W, C) → (B, H', W', features)."""
        states = [x]
        for index, picks in enumerate(self.picks, start=1):
            reads = [
                NormOperation(name, affine=self.affine, name=f"x{index}_from{source}_{name}")(
                    states[source], train=train
                )
                for name, source in picks
            ]
            states.append(add_up(reads))
        joined = jnp.concatenate(states[1:], axis=-1)
        return Scaling(self.cell, self.features, self.affine, name="scale")(joined, train=train)


class RtdnasNet(nn.Module):
    """The network on images (B, H, W, any), H and W divisible by stem_stride · 2^(deepest scale).

    Attributes:
      genotype: cells of every type, and paths.
      channels: of scale 0; scale s has 2^s times as many.
      classes: of the logits.
      stem_stride: 1, or 2 to start at half the image's size.
      affine: whether normalisation has parameters.
      dtype: compute dtype. Parameters, statistics and logits stay float32.
    """

    genotype: Genotype
    channels: int = 32
    classes: int = CLASS_COUNT
    stem_stride: int = 2
    affine: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Images → float32 logits (B, H, W, classes). ValueError for a genotype without paths."""
        paths = self.genotype.drawn_paths()
        check_image(x, scales=1 + max(map(max, paths)), stem_stride=self.stem_stride)
        stem = Stem(self.channels, self.stem_stride, self.affine, self.dtype, name="stem")
        tiles = {(0, 0): stem(x, train=train)}
        for layer, scale, direction in union_cells(paths):
            kind, target = CELL_TYPES[direction], scale + direction - 1
            cell = PickedCell(
                self.genotype.cell(kind),
                kind,
                self.channels * 2**target,
                self.affine,
                name=f"layer{layer}_scale{scale}_{kind}",
            )
            y = cell(tiles[layer, scale], train=train)
            place = (layer + 1, target)
            tiles[place] = tiles[place] + y if place in tiles else y
        last = len(paths[0]) - 1
        return add_up(
            Head(
                head_doublings(scale, self.stem_stride),
                self.classes,
                self.dtype,
                name=f"head{scale}",
            )(tiles[last, scale])
            for scale in sorted({path[-1] for path in paths})
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
