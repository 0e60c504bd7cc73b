"""The task of segmentation: labels out of an image."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.draws import draw_variables
from jaxnas.data.batches import EpochStream
from jaxnas.engine.step import TrainLoss
from jaxnas.ops.norm import STATISTICS
from jaxnas.segmentation.augment import Augmentation
from jaxnas.segmentation.loss import segmentation_loss
from jaxnas.segmentation.section import LOSSES, SegmentationConfig
from jaxnas.segmentation.statistics import deployed_variables, make_statistics
from jaxnas.segmentation.validation import DiceValidation

_INIT_SIZE = 64  # two pixels at the coarsest scale a config may have


@dataclass(frozen=True)
class Segmentation:
    """The `Task` with a loss of LOSSES on augmented batches.

    A trained network is applied with the statistics of `batches` training batches; a validation
    segments `slices` slices at a time.

    Batch statistics never leave a client. A local step normalises by its own batch, as at one site,
    so between two averages there is nothing to average but weights; and afterwards every client
    takes precise statistics of its own training images under the weights that it uses. Averaged
    variances, as FedNAS averages them, would leave out how far the clients' means lie apart, and
    statistics of others do not fit images of this scanner (as in SiloBN and FedBN, where they stay
    local too).
    """

    objective: str
    augmentation: Augmentation
    batches: int
    slices: int

    score: ClassVar[str] = "valid_dice"
    collections: ClassVar[tuple[str, ...]] = (STATISTICS,)

    def init(self, key: jax.Array, net: nn.Module) -> Any:
        """The variables of a network before training."""
        return init_segmentation(key, net)

    def loss(self, net: nn.Module) -> TrainLoss:
        """Returns loss(params, batch, key) -> (scalar, {})."""
        return segmentation_loss(net, LOSSES[self.objective], self.augmentation)

    def finish(self, net: nn.Module) -> Callable[[Any, EpochStream], dict[str, Any]]:
        """Returns the parameters with precise statistics, taken without augmentation."""
        return partial(deployed_variables, make_statistics(net), count=self.batches)

    def validate(self, net: nn.Module) -> DiceValidation:
        """Returns the mean Dice on the validation volumes."""
        return DiceValidation(net, slices=self.slices)


def segmentation_task(config: SegmentationConfig) -> Segmentation:
    """The task of a config."""
    train = config.train
    return Segmentation(train.loss, augmentation(config), train.statistics, config.latency.stack)


def augmentation(config: SegmentationConfig) -> Augmentation:
    """The variations of training slices."""
    return Augmentation(**config.train.augment.model_dump())


def init_segmentation(key: jax.Array, net: nn.Module) -> dict[str, Any]:
    """The variables of `net` before training; they depend on the key alone, not on the image."""
    image = jax.ShapeDtypeStruct((1, _INIT_SIZE, _INIT_SIZE, 1), jnp.float32)
    return draw_variables(key, partial(net.init, train=True), image)
