"""Parameters without the price of compiling a random generator for every kernel."""

from functools import partial

import jax
import numpy as np


class Training:
    """A network in training mode, for what calls `init` with arrays alone."""

    def __init__(self, net):
        self.init = partial(net.init, train=True)


def abstract_params(net, *args):
    """The shapes of the variables of a network."""
    return jax.eval_shape(net.init, jax.random.key(0), *args)


def numpy_params(net, *args, bias=0.0):
    """Variables distributed as `net.init` draws them, but by NumPy; all biases are `bias`."""
    rng = np.random.default_rng(0)

    def draw(leaf):
        if len(leaf.shape) == 1:
            return np.full(leaf.shape, bias, leaf.dtype)
        bound = 1 / np.prod(leaf.shape[:-1]) ** 0.5
        return rng.uniform(-bound, bound, leaf.shape).astype(leaf.dtype)

    return jax.tree.map(draw, abstract_params(net, *args))
