"""One suite for every hand-made network: the published sizes, and what all of them must do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.trees import global_norm
from jaxnas.metrics.cost import count_cost, count_params
from jaxnas.models.fastmri_unet import FastmriUNet
from jaxnas.models.registry import MODELS
from jaxnas.mri.acquisition import Measurement, measure
from jaxnas.mri.complexes import fft2c
from jaxnas.ops.conv import reference_lowering
from jaxnas.reconstruction.networks import build_network
from jaxnas.spaces.section import NetworkConfig
from tests.checks import complex_normal
from tests.models.params import abstract_params, numpy_params

# Parameters, and MACs in units of 10⁹ at 320 × 320 with two channels.
SIZES = {
    "unet": (3_348_536, 12.1475),
    "fastmri_unet": (7_756_418, 18.8350),
    "dccnn": (170_022, 17.3408),
    "dccnn_11": (613_926, 62.6393),
    "modl": (56_674, 17.3408),
    "modl_11": (204_642, 62.6393),
    "rdn": (86_790, 25.8343),
    "rdn_8": (86_790, 68.3016),
    "fedautomri_baseline": (260_866, 79.9801),
}
# Yan et al., Table I.
PAPER_GFLOPS = {
    "unet": 12.17,
    "dccnn": 17.41,
    "dccnn_11": 62.87,
    "modl": 17.41,
    "modl_11": 62.87,
    "rdn": 26.03,
    "rdn_8": 68.79,
}
# The others differ from these in depth alone.
NAMES = ("unet", "fastmri_unet", "dccnn", "modl", "rdn", "fedautomri_baseline")
UNROLLED = ("dccnn", "modl", "rdn", "fedautomri_baseline")
SMALL = NetworkConfig(channels=4, cascades=2)


def abstract_measurement(height, width):
    """The shapes of one single-coil slice."""
    kspace = jax.ShapeDtypeStruct((1, height, width), jnp.complex64)
    mask = jax.ShapeDtypeStruct((1, 1, width), jnp.float32)
    return Measurement(kspace, mask, None, jax.ShapeDtypeStruct((1,), jnp.float32))


@pytest.fixture(scope="module")
def measurement():
    """Two slices of odd height, every third column sampled."""
    mask = jnp.tile((jnp.arange(36) % 3 == 0).astype(jnp.float32), (2, 1, 1))
    return measure(complex_normal(jax.random.key(7), (2, 33, 36)), mask, None)


def small(name, dtype="float32"):
    """A small version of a network; the manual baseline of FedAutoMRI has a width of its own."""
    options = {"channels": 4} if name == "fedautomri_baseline" else {}
    return MODELS[name](SMALL.model_copy(update={"dtype": dtype}), **options)


class Case:
    """A small version of a network, compiled once, with parameters."""

    def __init__(self, name, measurement):
        self.name = name
        net = small(name)
        self.apply, self.params = jax.jit(net.apply), numpy_params(net, measurement)


@pytest.fixture(scope="module", params=NAMES)
def case(request, measurement):
    """One network after the other."""
    return Case(request.param, measurement)


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes(name):
    params, gmacs = SIZES[name]
    net, slice_ = MODELS[name](NetworkConfig()), abstract_measurement(320, 320)
    variables = abstract_params(net, slice_)
    assert count_params(variables) == params
    with reference_lowering():
        cost = count_cost(net.apply, variables, slice_)
    assert cost.macs / 1e9 == pytest.approx(gmacs, abs=5e-5)
    if name in PAPER_GFLOPS:
        # Their counter saw activations that were layers, not those that were function calls.
        flops = cost.flops_with_activations if name in ("rdn", "rdn_8") else cost.flops
        assert round(flops / 1e9, 2) == PAPER_GFLOPS[name]


def test_fedautomri_baseline_is_the_printed_size():
    """Wu et al., Table 2: 0.26 M and 85.65 G at 256², whatever the width of the cells."""
    config = NetworkConfig(channels=8, cascades=5, shared=True, lam=20, learn_lam=True)
    net, slice_ = MODELS["fedautomri_baseline"](config), abstract_measurement(256, 256)
    variables = abstract_params(net, slice_)
    assert count_params(variables) == 260_866 + 1
    with reference_lowering():
        cost = count_cost(net.apply, variables, slice_)
    assert round(cost.flops_with_activations / 1e9, 2) == 85.65
    assert round(cost.macs / 1e9, 2) == 85.31


def test_hand_made_networks_have_their_own_width():
    config = NetworkConfig(channels=8, baseline_channels=32)
    net = build_network("fastmri_unet", config)
    assert count_params(abstract_params(net, abstract_measurement(32, 32))) == 7_756_418


def test_every_network_is_sized():
    assert SIZES.keys() == MODELS.keys()


def test_lowered_convolutions_are_not_counted_as_nothing():
    net, slice_ = MODELS["dccnn"](SMALL), abstract_measurement(16, 16)
    with pytest.raises(ValueError, match="reference_lowering"):
        count_cost(net.apply, abstract_params(net, slice_), slice_)


def test_magnitude_fastmri_unet():
    net = FastmriUNet(features=1)
    x = jax.ShapeDtypeStruct((1, 320, 320, 1), jnp.float32)
    assert count_params(abstract_params(net, x)) == 7_756_097


def test_learned_lam_is_one_parameter_more():
    net = MODELS["modl"](NetworkConfig(lam=0.05, learn_lam=True))
    assert count_params(abstract_params(net, abstract_measurement(32, 32))) == 56_675


def test_output(case, measurement):
    image = case.apply(case.params, measurement)
    assert image.shape == (2, 33, 36) and image.dtype == jnp.complex64
    assert jnp.all(jnp.isfinite(image))


def test_vmap_is_a_loop(case, measurement):
    alone = jax.tree.map(lambda a: a[:, None], measurement)
    mapped = jax.vmap(case.apply, in_axes=(None, 0))(case.params, alone)
    np.testing.assert_allclose(mapped[:, 0], case.apply(case.params, measurement), atol=1e-4)


def test_gradient_reaches_every_parameter(case, measurement):
    def loss(params):
        return jnp.mean(jnp.abs(case.apply(params, measurement) - 1) ** 2)

    for path, grad in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(case.params)):
        assert jnp.all(jnp.isfinite(grad)) and jnp.any(grad != 0), jax.tree_util.keystr(path)


def test_initialisation_is_a_function_of_the_key(measurement):
    net = MODELS["modl"](SMALL)
    first, again, other = (net.init(jax.random.key(seed), measurement) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, again, first)
    assert any(jnp.any(a != b) for a, b in zip(*map(jax.tree.leaves, (other, first))))


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_float32(name):
    narrow = MODELS[name](SMALL.model_copy(update={"dtype": "bfloat16"}))
    variables = abstract_params(narrow, abstract_measurement(32, 32))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("case", ["unet", *UNROLLED], indirect=True)
def test_scale_passes_through_where_nothing_normalises(case, measurement):
    double = measurement.replace(kspace=2 * measurement.kspace)
    # Biases are zero and ReLU(2 x) = 2 ReLU(x).
    want = 2 * case.apply(case.params, measurement)
    np.testing.assert_allclose(case.apply(case.params, double), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", UNROLLED, indirect=True)
def test_measured_samples_are_kept(case, measurement):
    image = case.apply(case.params, measurement)
    np.testing.assert_allclose(fft2c(image) * measurement.mask, measurement.kspace, atol=1e-4)


def test_bfloat16_stays_inside_the_network(case, measurement):
    narrow = small(case.name, "bfloat16")
    image = jax.jit(narrow.apply)(case.params, measurement)
    assert image.dtype == jnp.complex64
    np.testing.assert_allclose(image, case.apply(case.params, measurement), atol=0.2)


@pytest.mark.parametrize("name", ["unet", "fastmri_unet"])
def test_images_that_pooling_would_empty_are_refused(name):
    with pytest.raises(ValueError, match="at least 16"):
        abstract_params(MODELS[name](SMALL), abstract_measurement(15, 32))


@pytest.mark.parametrize("level", [0.0, 1e-8])
def test_an_empty_slice_does_not_blow_up_the_fastmri_unet(level, key):
    # A bias at the end gives the loss a gradient even where there is nothing to see.
    net = FastmriUNet(channels=4)
    image = level * jax.random.normal(key, (1, 32, 32, 2))
    params = numpy_params(net, image)["params"]
    params["tail"]["bias"] = params["tail"]["bias"] + 0.1
    gradient = jax.jit(jax.grad(lambda p, x: jnp.abs(net.apply({"params": p}, x)).mean()))(
        params, image
    )
    assert float(global_norm(gradient)) < 10.0
