"""A tiny problem for the loop: a network of two convolutions that learns to smooth noise."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnas.engine.optim import make_optimizer
from jaxnas.engine.section import OptimConfig
from jaxnas.engine.step import init_train_state, make_train_step
from jaxnas.ops.conv import Conv

STEPS = 24
TX = make_optimizer(OptimConfig(rate=0.01, schedule="cosine"), STEPS)


class Net(nn.Module):
    """(B, H, W, 1) → (B, H, W, 1)."""

    @nn.compact
    def __call__(self, x):
        """Conv, ReLU, conv."""
        return Conv(1)(nn.relu(Conv(4)(x)))


class Batches:
    """Batches of 2 × 8 × 8, pure functions of the step; counts what was asked for."""

    def __init__(self, *, sizes=(8,)):
        self.sizes, self.asked = sizes, []

    def batch(self, step):
        """The batch of `step`; its side cycles through `sizes`."""
        self.asked.append(step)
        side = self.sizes[step % len(self.sizes)]
        image = np.random.default_rng((0, step)).normal(size=(2, side, side, 1))
        return {"image": image.astype(np.float32)}


def loss(params, batch, key):
    """Mean squared error to the shifted image, with noise on the input; also the output's size."""
    image = batch["image"]
    output = Net().apply({"params": params}, image + 0.1 * jax.random.normal(key, image.shape))
    return jnp.mean((output - jnp.roll(image, 1, 1)) ** 2), {"size": jnp.abs(output).mean()}


def initial_state():
    """The state before step 0."""
    key = jax.random.key(0)
    params = jax.jit(Net().init)(key, jnp.zeros((1, 8, 8, 1)))["params"]
    return init_train_state(key, params, TX)


def step():
    """The train step of the problem."""
    return make_train_step(loss, TX)
