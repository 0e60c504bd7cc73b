"""Every segmentation network by its name: `derived` needs a genotype, the others are hand-made.

A network is a module net(x float32 (B, H, W, 1), *, train) → logits float32 (B, H, W, classes).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.metrics.cost import count_cost, count_params
from jaxnas.models.bix_unet import BixUnet
from jaxnas.models.costing import NetworkCost
from jaxnas.models.networks import DERIVED
from jaxnas.models.unet2d import UNet2d
from jaxnas.ops.conv import reference_lowering
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.rtdnas_network import RtdnasNet


def unet2d(*, channels: int, classes: int, dtype: Any) -> nn.Module:
    """The plain U-net of the given width."""
    return UNet2d(channels, classes=classes, dtype=dtype)


def bix_unet(*, channels: int, classes: int, dtype: Any) -> nn.Module:
    """The network of BiX-NAS, whose width is published: `channels` is not read."""
    return BixUnet(classes, dtype)


SEGMENTATION_MODELS: dict[str, Callable[..., nn.Module]] = {
    "unet2d": unet2d,
    "bix_unet": bix_unet,
}
SEGMENTATION_NAMES = (DERIVED, *SEGMENTATION_MODELS)


def build_segmentation_network(
    name: str,
    *,
    channels: int,
    genotype: Genotype | None = None,
    stem_stride: int = 2,
    classes: int = 4,
    dtype: Any = jnp.float32,
) -> nn.Module:
    """The network `name` of the given width; `genotype` and `stem_stride` are of `derived`.

    ValueError for an unknown name, or for `derived` without a genotype.
    """
    if name == DERIVED:
        if genotype is None:
            raise ValueError("the derived network needs a genotype")
        return RtdnasNet(genotype, channels, classes, stem_stride, dtype=dtype)
    if name not in SEGMENTATION_MODELS:
        raise ValueError(
            f"unknown network {name!r}; expected one of {', '.join(SEGMENTATION_NAMES)}"
        )
    return SEGMENTATION_MODELS[name](channels=channels, classes=classes, dtype=dtype)


def segmentation_cost(net: nn.Module, size: tuple[int, int], *, inputs: int = 1) -> NetworkCost:
    """Parameters, and operations at inference for one image of `size` pixels; no arrays."""
    image = jax.ShapeDtypeStruct((1, *size, inputs), jnp.float32)
    with reference_lowering():
        variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=True), image)
        cost = count_cost(lambda v, x: net.apply(v, x, train=False), variables, image)
    return NetworkCost(count_params(variables["params"]), cost)
