"""Clients with quadratic losses under SGD, in JAX and again in NumPy with float64.

Client i has the loss ½ a_i ‖ω − b‖² in a local step, with a target b of its own in every step; its
gradient is a_i (ω − b).
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.fed.participation import draw_participants
from jaxnas.fed.program import training_program
from jaxnas.fed.strategies import build_strategy
from tests.fed import tiny

SIZE = 3
START = np.array([1.0, -2.0, 0.5])


def curvature(client):
    """a_i."""
    return 0.5 + 0.7 * client


def target(client, number, step, *, noise=0.3):
    """b of a local step, float64 (SIZE,)."""
    rng = np.random.default_rng((3, client, number, step))
    return np.array([client, -1.0, 2.0 * client]) + noise * rng.normal(size=SIZE)


class Data:
    """The batches of one round."""

    def __init__(self, number, steps, **options):
        self.number, self.steps, self.options = number, np.asarray(steps), options

    def batch(self, client, step):
        """The curvature and the target of a local step, float32."""
        found = target(client, self.number, step, **self.options)
        return {"a": np.float32(curvature(client)), "b": found.astype(np.float32)}


def loss(params, batch, key):
    """½ a ‖ω − b‖²."""
    return 0.5 * batch["a"] * jnp.sum(jnp.square(params["w"] - batch["b"])), {}


def run(method, steps, *, rounds, schedule, tx, weights, **options):
    """Every state of a federated run with the `schedule` of the optimiser `tx`."""
    penalty = build_strategy(method).penalty
    program = training_program(loss, tx, penalty=penalty, rate=schedule)
    fed = tiny.federation(len(steps), method=method, weights=weights, program=program, **options)
    state = fed.init(jax.random.key(0), {"params": {"w": jnp.asarray(START, jnp.float32)}})
    states = []
    for number in range(rounds):
        state, _ = fed(state, Data(number, steps))
        states.append(jax.device_get(state.replace(key=None)))
    return states


def descend(x, client, number, count, rates, *, correction=0.0):
    """y_i after `count` local steps from x, with a correction of every gradient."""
    for step in range(count):
        gradient = curvature(client) * (x - target(client, number, step))
        x = x - rates[step] * (gradient + correction)
    return x


def participants(number, clients, fraction):
    """Those who take part in a round of `tiny.federation`."""
    return draw_participants(5, number, clients=clients, fraction=fraction)
