"""Optimisers against their equations."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core.errors import UserError
from jaxnas.engine.optim import make_optimizer, make_schedule
from jaxnas.engine.section import OptimConfig


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1]),
        ({"schedule": "step", "drops": (0.5,)}, [1, 1, 0.1, 0.1]),
        ({"schedule": "step", "drops": (0.25, 0.75)}, [1, 0.1, 0.1, 0.01]),
        ({"schedule": "step", "drops": ()}, [1, 1, 1, 1]),
        ({"schedule": "cosine"}, 0.5 + 0.5 * np.cos(np.pi * np.arange(4) / 4)),
        ({"schedule": "constant", "warmup": 2}, [0.5, 1, 1, 1]),
        ({"schedule": "linear"}, [1, 0.75, 0.5, 0.25]),
        ({"schedule": "linear", "final": 0.2}, [1, 0.775, 0.55, 0.325]),
        ({"schedule": "exponential", "final": 0.02}, 0.01 ** (np.arange(4) / 4)),
        ({"schedule": "cosine", "final": 0.5}, 0.625 + 0.375 * np.cos(np.pi * np.arange(4) / 4)),
    ],
)
def test_schedule(config, expected):
    schedule = make_schedule(OptimConfig(rate=2.0, **config), 4)
    rates = [schedule(jnp.int32(t)) for t in range(4)]
    assert all(rate.dtype == jnp.float32 and rate.shape == () for rate in rates)
    np.testing.assert_allclose(np.array(rates), 2 * np.asarray(expected), rtol=1e-6)


def test_a_cosine_ends_at_its_final_rate():
    """RT-DNAS: from 0.01 to 0.001, as optax counts it."""
    steps = jnp.arange(11)
    rates = make_schedule(OptimConfig(rate=0.01, final=0.001, schedule="cosine"), 10)(steps)
    np.testing.assert_allclose(rates, optax.cosine_decay_schedule(0.01, 10, alpha=0.1)(steps))
    assert rates[10] == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"schedule": "step", "final": 1e-4}, "final 0.0001 .* found schedule step"),
        ({"schedule": "constant", "final": 1e-4}, "found schedule constant"),
        ({"schedule": "cosine", "final": 0.1}, "final 0.1 is above the rate 0.001"),
        ({"schedule": "exponential"}, "never reaches 0"),
    ],
)
def test_an_end_that_no_schedule_reaches_is_refused(config, words):
    with pytest.raises(ValueError, match=words):
        OptimConfig(**config)


def test_a_warmup_longer_than_the_run_is_refused():
    with pytest.raises(UserError, match="warmup: 10 steps do not fit into a run of 10 steps"):
        make_schedule(OptimConfig(warmup=10), 10)


def walk(config, gradients, start):
    """Parameters after each gradient."""
    tx = make_optimizer(OptimConfig(schedule="constant", rate=0.1, **config), len(gradients))
    params, state = jnp.asarray(start), None
    state = tx.init(params)
    path = []
    for gradient in gradients:
        updates, state = tx.update(jnp.asarray(gradient), state, params)
        params = optax.apply_updates(params, updates)
        path.append(np.asarray(params))
    return path


def test_sgd_is_momentum_on_the_penalised_gradient():
    path = walk({"name": "sgd", "momentum": 0.5, "weight_decay": 0.2}, [[1.0], [1.0]], [1.0])
    # v = g + 0.2 w;  w -= 0.1 v;  v = 0.5 v + g + 0.2 w
    first = 1.0 - 0.1 * 1.2
    second = first - 0.1 * (0.5 * 1.2 + 1.0 + 0.2 * first)
    np.testing.assert_allclose(np.ravel(path), [first, second], rtol=1e-6)


def test_adam_takes_the_penalty_before_its_moments():
    (after,) = walk({"name": "adam", "weight_decay": 1.0}, [[0.0, 0.0]], [3.0, -0.5])
    # The first Adam step is the rate times the sign of the penalised gradient.
    np.testing.assert_allclose(after, [2.9, -0.4], rtol=1e-5)


def test_clipping_bounds_the_global_norm():
    (after,) = walk({"name": "sgd", "clip": 1.0}, [[3.0, 4.0]], [0.0, 0.0])
    np.testing.assert_allclose(after, [-0.06, -0.08], rtol=1e-6)


TARGET = np.array([1.0, -2.0, 0.5], np.float32)
START = np.array([0.3, 0.4, -2.5], np.float32)


def bowl(w):
    """The gradient of a quartic with its minimum at TARGET."""
    return (w - TARGET) ** 3


def follow(config, steps, rate=3e-2):
    """The parameters after every step down the bowl, at a constant rate."""
    optimizer = OptimConfig(rate=rate, schedule="constant", betas=(0.8, 0.99), **config)
    tx = make_optimizer(optimizer, steps)
    params = jnp.asarray(START)
    state, path = tx.init(params), []
    for _ in range(steps):
        updates, state = tx.update(jnp.asarray(bowl(np.asarray(params))), state, params)
        params = optax.apply_updates(params, updates)
        path.append(np.asarray(params))
    return np.stack(path)


@pytest.mark.parametrize(("name", "torch_name"), [("adam", "Adam"), ("adamw", "AdamW")])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_weight_decay_is_that_of_torch(name, torch_name, decay):
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.tensor(START))
    rule = getattr(torch.optim, torch_name)
    rule = rule([parameter], lr=3e-2, betas=(0.8, 0.99), weight_decay=decay)
    path = []
    for _ in range(30):
        parameter.grad = torch.tensor(bowl(parameter.detach().numpy()))
        rule.step()
        path.append(parameter.detach().numpy().copy())
    found = follow({"name": name, "weight_decay": decay}, 30)
    np.testing.assert_allclose(found, np.stack(path), rtol=2e-5, atol=1e-6)


def test_adamw_is_that_of_optax():
    tx = optax.adamw(3e-2, 0.8, 0.99, weight_decay=0.3)
    params, path = jnp.asarray(START), []
    state = tx.init(params)
    for _ in range(10):
        updates, state = tx.update(jnp.asarray(bowl(np.asarray(params))), state, params)
        params = optax.apply_updates(params, updates)
        path.append(np.asarray(params))
    found = follow({"name": "adamw", "weight_decay": 0.3}, 10)
    np.testing.assert_allclose(found, np.stack(path), rtol=1e-6)
    # Decoupled: without a gradient the weights shrink by rate times decay and nothing else.
    (after,) = walk({"name": "adamw", "weight_decay": 0.5}, [[0.0, 0.0]], [3.0, -0.5])
    np.testing.assert_allclose(after, [2.85, -0.475], rtol=1e-6)
