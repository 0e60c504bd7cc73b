"""Tiny problems for many clients: each learns to shift images, by a distance of its own."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnas.engine.optim import make_optimizer, make_schedule
from jaxnas.engine.section import OptimConfig
from jaxnas.fed.program import training_program
from jaxnas.fed.rounds import Federation
from jaxnas.fed.section import (
    FedAdam,
    FedAutoMRI,
    FedAvg,
    FedAvgM,
    FedMRI,
    FedProx,
    NonFed,
    Scaffold,
)
from jaxnas.fed.strategies import build_strategy
from jaxnas.ops.conv import Conv, conv2d
from jaxnas.reconstruction.section import FederatedConfig

SIDE = 6
FEDAVG = FedAvg(strategy="fedavg")
NON_FED = NonFed(strategy="non_fed")
MRI = FedMRI(strategy="fedmri", shared=("params/encoder/*",))
METHODS = {
    "non_fed": NON_FED,
    "fedavg": FEDAVG,
    "fedprox": FedProx(strategy="fedprox"),
    "fedmri": MRI,
    "fedautomri": FedAutoMRI(strategy="fedautomri"),
    "fedavgm": FedAvgM(strategy="fedavgm"),
    "fedadam": FedAdam(strategy="fedadam"),
    "scaffold": Scaffold(strategy="scaffold"),
}
TX = make_optimizer(OptimConfig(rate=0.01, schedule="cosine", clip=1.0), 40)
SGD = OptimConfig(name="sgd", momentum=0.0, rate=0.1, schedule="cosine")
SGD_TX, SGD_RATE = make_optimizer(SGD, 40), make_schedule(SGD, 40)


class Data:
    """The batches of one round, pure functions of (client, round, step).

    `poison` holds pairs (round, client) whose batches are NaN, `heights` the image heights of the
    clients.
    """

    def __init__(self, number, steps, *, poison=(), heights=None):
        self.number, self.steps = number, np.asarray(steps)
        self.poison, self.heights = poison, heights

    def batch(self, client, step):
        """Images float32 (2, height, SIDE, 1) and the client's own target."""
        assert 0 <= step < self.steps[client]
        height = SIDE if self.heights is None else self.heights[client]
        rng = np.random.default_rng((7, client, self.number, step))
        image = rng.normal(size=(2, height, SIDE, 1)).astype(np.float32)
        target = np.roll(image, client + 1, axis=2)
        if (self.number, client) in self.poison:
            target = target * np.float32(np.nan)
        return {"image": image, "pair": {"target": target}}


class Rounds:
    """The rounds of a run; counts what was asked for."""

    def __init__(self, steps, **options):
        self.steps, self.options, self.asked = steps, options, []

    def batch(self, number):
        """Round `number`."""
        self.asked.append(number)
        return Data(number, self.steps, **self.options)


def linear(params, image):
    """Two matrices along the width."""
    hidden = jnp.tanh(image[..., 0] @ params["encoder"]["kernel"])
    decoder = params["decoder"]
    return (hidden @ decoder["kernel"] + decoder["bias"][None, None])[..., None]


class ConvNet(nn.Module):
    """Two convolutions, (B, H, W, 1) → (B, H, W, 1)."""

    @nn.compact
    def __call__(self, image):
        """Conv, ReLU, conv."""
        return Conv(1, use_bias=True, name="decoder")(nn.relu(Conv(3, name="encoder")(image)))


def make_loss(apply):
    """Mean squared error with a random offset of the input; also the size of the output."""

    def loss(params, batch, key):
        image = batch["image"]
        output = apply(params, image + 0.1 * jax.random.uniform(key))
        return jnp.mean((output - batch["pair"]["target"]) ** 2), {"size": jnp.abs(output).mean()}

    return loss


loss = make_loss(linear)
conv_loss = make_loss(lambda params, image: ConvNet().apply({"params": params}, image))


def model():
    """The linear model before training."""
    keys = jax.random.split(jax.random.key(3), 2)
    encoder = {"kernel": 0.4 * jax.random.normal(keys[0], (SIDE, 3))}
    decoder = {"kernel": 0.4 * jax.random.normal(keys[1], (3, SIDE)), "bias": jnp.zeros(SIDE)}
    return {"params": {"encoder": encoder, "decoder": decoder}}


def conv_model():
    """The convolutional model before training."""
    return {"params": ConvNet().init(jax.random.key(3), jnp.zeros((1, SIDE, SIDE, 1)))["params"]}


def config(**options):
    """A federated config; clients come with the federation."""
    return FederatedConfig(partition={"method": "natural"}, local_steps=1, **options)


def federation(clients=3, *, method=FEDAVG, weights=None, program=None, tx=None, **options):
    """A federation of `clients`, of weights 1, 2, ... unless given; by SGD where it must be."""
    strategy = build_strategy(method)
    tx = tx or (SGD_TX if method.strategy == "scaffold" else TX)
    return Federation(
        program or training_program(loss, tx, penalty=strategy.penalty, rate=SGD_RATE),
        strategy,
        names=[f"c{i}" for i in range(clients)],
        weights=np.arange(1, clients + 1) if weights is None else np.asarray(weights),
        config=config(**options),
        seed=5,
    )


def run(fed, steps, *, rounds=2, start=None, **options):
    """State and readings after some rounds."""
    state, rows = fed.init(jax.random.key(11), start or model()), []
    for number in range(rounds):
        state, readings = fed(state, Data(number, steps, **options))
        rows.append(readings.to_json())
    return state, rows


def search_loss(params, alphas, batch, key):
    """A mixture of two convolutions, chosen by softmaxed logits; the offset is drawn from `key`."""
    mixture = jax.nn.softmax(alphas["cell"])
    image = batch["image"] + 0.1 * jax.random.uniform(key)
    outputs = [conv2d(image, params[name]) for name in ("small", "large")]
    output = sum(weight * y for weight, y in zip(mixture, outputs))
    return jnp.mean((output - batch["pair"]["target"]) ** 2)


def search_model():
    """The supernet's model before the search."""
    keys = jax.random.split(jax.random.key(4), 2)
    params = {
        "small": 0.3 * jax.random.normal(keys[0], (1, 1, 1, 1)),
        "large": 0.3 * jax.random.normal(keys[1], (1, 3, 1, 1)),
    }
    return {"params": params, "alphas": {"cell": jnp.array([0.1, -0.1])}}


class SearchData(Data):
    """Batches with the two halves of a search."""

    def batch(self, client, step):
        """The halves `train` and `valid`, of different draws."""
        assert 0 <= step < self.steps[client]
        numbers = {"train": 2 * self.number, "valid": 2 * self.number + 1}
        return {name: Data(n, self.steps).batch(client, step) for name, n in numbers.items()}


def assert_close(a, b, *, atol=1e-6, rtol=1e-5):
    """Leaves agree up to rounding."""
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=atol, rtol=rtol), *numbers(a, b)
    )


def assert_same(a, b):
    """Leaves agree bit by bit."""
    jax.tree.map(np.testing.assert_array_equal, *numbers(a, b))


def numbers(*trees):
    """Trees with keys as numbers, on the host."""
    return [jax.device_get(jax.tree.map(_number, tree)) for tree in trees]


def _number(x):
    is_key = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(x) if is_key else x
