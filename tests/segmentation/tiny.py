"""Tiny segmentation problems: squares and patches of known intensity, and networks for them."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnas.data.annotation import LabeledVolume
from jaxnas.data.prepare import Preparation
from jaxnas.ops.conv import Conv
from jaxnas.ops.norm import BatchNorm


class SegNet(nn.Module):
    """(B, H, W, 1) → logits (B, H, W, 4)."""

    @nn.compact
    def __call__(self, x, *, train):
        """Conv, norm, ReLU, conv."""
        x = nn.relu(BatchNorm()(Conv(8)(x), train=train))
        return Conv(4)(x)


def labelled(key, *, batch=4, size=16):
    """A batch of noisy squares in three intensities; label k has intensity 2k − 3."""
    place, noise = jax.random.split(key)
    centres = jax.random.randint(place, (batch, 3, 2), 3, size - 3)
    grid = jnp.stack(jnp.meshgrid(jnp.arange(size), jnp.arange(size), indexing="ij"), -1)
    label = jnp.zeros((batch, size, size), jnp.uint8)
    for k in range(3):
        near = jnp.abs(grid[None] - centres[:, k, None, None]).max(-1) <= 2
        label = jnp.where(near, jnp.uint8(k + 1), label)
    image = 2.0 * label.astype(jnp.float32) - 3
    image = image + 0.1 * jax.random.normal(noise, image.shape)
    return {"image": image, "label": label, "index": jnp.arange(batch)}


def volume(name="patient001_frame01", *, shape=(3, 24, 20), patient="patient001", phase="ED"):
    """A volume with labels on a grid of its own, its intensity rising with the label."""
    rng = np.random.default_rng(sum(map(ord, name)))
    coarse = rng.integers(0, 4, (shape[0], -(-shape[1] // 4), -(-shape[2] // 4)))
    labels = coarse.repeat(4, 1).repeat(4, 2)[:, : shape[1], : shape[2]].astype(np.uint8)
    image = 100 + 40.0 * labels + rng.normal(size=shape)
    return LabeledVolume(
        image.astype(np.float32), labels, (8.0, 1.5, 1.5), np.eye(4), name, patient, phase
    )


class ByThreshold(nn.Module):
    """Logits (B, H, W, 4) that say which quarter of the range [−1.5, 1.5] a pixel is in."""

    @nn.compact
    def __call__(self, x, *, train):
        """The nearer the intensity, the higher the logit."""
        levels = self.param("levels", lambda _: jnp.array([-1.35, -0.45, 0.45, 1.35]))
        return -20 * (x - levels.reshape(1, 1, 1, -1)) ** 2


PREPARATION = Preparation(spacing=None, size=(24, 20), clip=(0.0, 100.0))
