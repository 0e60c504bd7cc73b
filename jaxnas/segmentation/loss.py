"""Training losses of segmentation networks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxnas.engine.step import TrainLoss
from jaxnas.ops.norm import STATISTICS
from jaxnas.segmentation.augment import Augmentation, augment

LabelLoss = Callable[[jax.Array, jax.Array], jax.Array]
SMOOTH = 1e-5


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """−mean log softmax(z)_t over the batch and its pixels; a float32 scalar.

    `logits` float (B, H, W, K), `labels` integers (B, H, W) below K. ValueError if they do not fit.
    """
    _check(logits, labels)
    losses = optax.softmax_cross_entropy_with_integer_labels(
        logits.astype(jnp.float32), labels.astype(jnp.int32)
    )
    return losses.mean()


def soft_dice(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """1 − mean over the classes but the background of (2 Σ p t + ε)/(Σ p + Σ t + ε), a float32.

    p is the softmax of `logits` float (B, H, W, K), t one-hot `labels` integers (B, H, W). The sums
    run over the whole batch, as nnU-Net's do in two dimensions: slices without a class are common,
    and a Dice of their own would be decided by single pixels. ε = 1e-5.
    """
    _check(logits, labels)
    classes = logits.shape[-1]
    p = jax.nn.softmax(logits.astype(jnp.float32))[..., 1:]
    t = jax.nn.one_hot(labels, classes, dtype=jnp.float32)[..., 1:]
    pixels = (0, 1, 2)
    both = 2 * (p * t).sum(pixels) + SMOOTH
    return 1 - jnp.mean(both / (p.sum(pixels) + t.sum(pixels) + SMOOTH))


def dice_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """`cross_entropy` + `soft_dice`."""
    return cross_entropy(logits, labels) + soft_dice(logits, labels)


def segmentation_loss(
    net: nn.Module, objective: LabelLoss, augmentation: Augmentation
) -> TrainLoss:
    """Returns loss(params, batch, key) -> (scalar, {}) of augmented batches.

    `batch` holds `image` float32 (B, H, W) and `label` uint8 (B, H, W); `net(x, train=True)` maps
    (B, H, W, 1) to logits (B, H, W, K). The statistics that its normalisation leaves in
    `batch_stats` are dropped: a step normalises by its own batch and keeps no running average (see
    `engine/precise_norm.py`).
    """

    def loss(params, batch, key):
        image, label = augment(key, batch["image"], batch["label"], augmentation)
        return objective(train_logits(net, params, image), label), {}

    return loss


def train_logits(net: nn.Module, params: Any, image: jax.Array) -> jax.Array:
    """Logits (B, H, W, K) of images (B, H, W), normalised by the statistics of this batch."""
    logits, _ = net.apply({"params": params}, image[..., None], train=True, mutable=[STATISTICS])
    return logits


def _check(logits: jax.Array, labels: jax.Array) -> None:
    if logits.ndim != 4 or labels.shape != logits.shape[:3]:
        raise ValueError(
            f"expected logits (B, H, W, K) and labels (B, H, W), got {logits.shape} and "
            f"{labels.shape}"
        )
