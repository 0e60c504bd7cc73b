import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.schema import NetworkConfig
from jaxnas.core.trees import count
from jaxnas.models.costing import abstract_measurement, network_cost
from jaxnas.mri.acquisition import measure
from jaxnas.mri.fourier import fft2c
from jaxnas.spaces.csmri import SPACES
from jaxnas.spaces.derive import derive, one_hot_alphas, random_alphas
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.supernet import derived_network, example_genotype, supernet
from tests.checks import complex_normal

SMALL = NetworkConfig(channels=4, cells=2, nodes=2, cascades=2)


def measurement(key, size=(16, 18)):
    mask = jnp.ones((1, 1, size[1])).at[..., ::2].set(0.0)
    return measure(fft2c(complex_normal(key, (1, *size))), mask, None)


@pytest.mark.parametrize(("nodes", "params"), [(2, 107_712), (3, 142_272), (4, 176_832)])
def test_paper_parameter_counts(nodes, params):
    config = NetworkConfig(nodes=nodes)
    assert (
        network_cost(derived_network(config, example_genotype(config)), (32, 32)).params == params
    )


def test_space_b_parameter_count():
    """Three separable operations, two 9x1-1x9 and one skip (Table III: 117.2 K)."""
    picks = (
        (("sep_conv_3x3", 0), ("conv_9x1_1x9", 1)),
        (("dil_2_conv_3x3", 0), ("conv_9x1_1x9", 2)),
        (("sep_conv_3x3", 1), ("skip_connect", 3)),
    )
    net = derived_network(NetworkConfig(space="csmri_b"), Genotype("csmri_b", (("normal", picks),)))
    assert network_cost(net, (32, 32)).params == 117_216


def test_macs_at_320():
    """One multiply-accumulate per parameter and pixel: all convolutions keep the size."""
    config = NetworkConfig()
    cost = network_cost(derived_network(config, example_genotype(config)), (320, 320)).cost
    assert cost.macs == 142_272 * 320**2
    assert cost.bias_adds == 0


@pytest.mark.parametrize("space", SPACES)
def test_one_hot_supernet_is_the_derived_network(space, key):
    """The same module with a genotype: equal parameters by name give the same image."""
    config = SMALL.model_copy(update={"space": space})
    m = measurement(key)
    net = supernet(config)
    variables = jax.jit(net.init)(key, m)
    operations = SPACES[space].operations
    table = random_alphas(key, operations, nodes=2)
    genotype = derive(space, {"normal": jax.nn.softmax(table)}, operations)
    whole = jax.jit(net.apply)(
        {"params": variables["params"], "alphas": one_hot_alphas(genotype, operations)}, m
    )
    small = derived_network(config, genotype)
    wanted = jax.eval_shape(small.init, key, m)["params"]
    inherited = _pick(variables["params"]["unrolled"], wanted)
    np.testing.assert_allclose(
        jax.jit(small.apply)({"params": inherited}, m), whole, rtol=1e-4, atol=1e-4
    )
    assert count(inherited) < count(variables["params"])


def _pick(tree, like):
    if not isinstance(like, dict):
        assert tree.shape == like.shape
        return tree
    return {name: _pick(tree[name], child) for name, child in like.items()}


def test_alphas_are_their_own_collection(key):
    variables = jax.eval_shape(supernet(SMALL).init, key, abstract_measurement((16, 16)))
    assert set(variables) == {"params", "alphas"}
    assert variables["alphas"]["normal"].shape == (5, 5)


def test_a_factor_passes_through(key):
    """Bias-free networks are positively homogeneous (Eq. 15): D(c x) = c D(x), c > 0."""
    net = derived_network(SMALL, example_genotype(SMALL))
    m = measurement(key)
    params = jax.jit(net.init)(key, m)
    double = m.replace(kspace=2 * m.kspace)
    apply = jax.jit(net.apply)
    np.testing.assert_allclose(apply(params, double), 2 * apply(params, m), rtol=1e-4, atol=1e-4)


def test_bfloat16_keeps_physics_in_single_precision(key):
    config = SMALL.model_copy(update={"dtype": "bfloat16"})
    m = measurement(key)
    net = derived_network(config, example_genotype(config))
    variables = jax.jit(net.init)(key, m)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(variables))
    image = jax.jit(net.apply)(variables, m)
    assert image.dtype == jnp.complex64
    # Noiseless data consistency: the measured samples are exact whatever the network computed in.
    np.testing.assert_allclose(fft2c(image) * m.mask, m.kspace, atol=1e-4)
    single = jax.jit(derived_network(SMALL, example_genotype(SMALL)).apply)(variables, m)
    assert jnp.linalg.norm(image - single) < 0.02 * jnp.linalg.norm(single)
