import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.registry import Entry
from jaxnas.core.trees import count
from jaxnas.models.costing import abstract_measurement, network_cost
from jaxnas.mri.acquisition import measure
from jaxnas.mri.complexes import fft2c
from jaxnas.reconstruction.networks import init_variables
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.space import edge_weights
from jaxnas.spaces.supernet import derived_network, example_genotype, supernet
from tests.checks import PAPER_SPACES, complex_normal
from tests.models.params import numpy_params

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


FEDAUTOMRI = NetworkConfig(
    space="fedautomri",
    channels=8,
    cells=2,
    nodes=3,
    cascades=5,
    shared=True,
    lam=20,
    learn_lam=True,
)


def test_fedautomri_sizes():
    """Table 2 of Wu et al.: 0.016 M and 4.92 G at 256², of whatever genotype they found."""
    found = network_cost(derived_network(FEDAUTOMRI, example_genotype(FEDAUTOMRI)), (256, 256))
    assert found.params == 15_889
    assert found.params == pytest.approx(0.016e6, rel=0.1)
    assert found.cost.macs == 5 * 256**2 * (15_889 - 1)  # all but λ, at every pixel and iteration
    assert found.cost.flops_with_activations == pytest.approx(4.92e9, rel=0.1)


def coil_measurement(key, size=(16, 18)):
    """As `measurement`, through two coils."""
    k_sens, k_image = jax.random.split(key)
    sens = complex_normal(k_sens, (1, 2, *size))
    sens = sens / jnp.linalg.norm(sens, axis=1, keepdims=True)
    mask = jnp.ones((1, 1, size[1])).at[..., ::2].set(0.0)
    return measure(fft2c(sens * complex_normal(k_image, (1, 1, *size))), mask, sens)


@pytest.mark.parametrize(
    ("scan", "shape"),
    [(measurement, {"cells": 2, "cascades": 1}), (coil_measurement, {"cells": 1, "cascades": 2})],
    ids=["closed form", "conjugate gradients"],
)
@pytest.mark.parametrize("space", SPACES)
def test_one_hot_supernet_is_the_derived_network(space, scan, shape, key):
    """The same module with a genotype: equal parameters by name give the same image."""
    options = {"space": space, "shared": True, "lam": 5.0, "edges": "weighted"} | shape
    config, space, m = SMALL.model_copy(update=options), SPACES[space], scan(key)
    net = supernet(config)
    variables = numpy_params(net, m)
    size = variables["alphas"]["normal"].shape
    genotype = space.derive(edge_weights({"normal": jax.random.normal(key, size)}))
    hot = space.one_hot_alphas(genotype)
    whole = jax.jit(net.apply)({"params": variables["params"], "alphas": hot}, m)
    small = derived_network(config, genotype)
    wanted = jax.eval_shape(small.init, key, m)["params"]
    inherited = _pick(variables["params"]["unrolled"], wanted)
    image = jax.jit(small.apply)({"params": inherited}, m)
    np.testing.assert_allclose(image, whole, rtol=1e-4, atol=1e-4)
    assert count(inherited) < count(variables["params"])


@pytest.mark.parametrize("space", ["csmri_b", "fedautomri"])
def test_one_denoiser_for_all_cascades(space):
    small = {"space": space, "cells": 1, "nodes": 1, "lam": 5.0, "learn_lam": True}
    config = SMALL.model_copy(update=small)
    shared = config.model_copy(update={"shared": True})
    image = abstract_measurement((16, 16))
    for build in (supernet, lambda c: derived_network(c, example_genotype(c))):
        own, one = (jax.eval_shape(build(c).init, jax.random.key(0), image)["params"]
                    for c in (config, shared))  # fmt: skip
        one, own = one.get("unrolled", one), own.get("unrolled", own)
        assert set(own) == {"cascade0", "cascade1", "log_lam"}
        assert set(one) == {"denoiser", "log_lam"}
        assert 2 * (count(one) - 1) == count(own) - 1
    five = network_cost(supernet(shared.model_copy(update={"cascades": 5})), (16, 16))
    assert five.params == network_cost(supernet(shared), (16, 16)).params


@pytest.mark.optimised
def test_edges_by_sum_or_by_weight(key):
    """Weights of a half are half the last kernels; a plain sum does not look at them."""
    config = SMALL.model_copy(update={"space": "fedautomri", "cascades": 1, "cells": 1, "nodes": 1})
    genotype, m = example_genotype(config), measurement(key)
    nets = [
        derived_network(config.model_copy(update={"edges": edges}), of)
        for edges, of in (
            ("sum", genotype),
            ("sum", dataclasses.replace(genotype, weights=None)),
            ("weighted", genotype),
        )
    ]
    params = numpy_params(nets[0], m)

    def halve(path, leaf):
        name = jax.tree_util.keystr(path)
        last = "edge" in name and name.endswith(("'kernel']", "'pointwise']"))
        return leaf / 2 if last else leaf

    halved = jax.tree.map_with_path(halve, params)
    with_weights, without, weighted = (jax.jit(net.apply) for net in nets)
    np.testing.assert_array_equal(with_weights(params, m), without(params, m))
    np.testing.assert_allclose(weighted(params, m), without(halved, m), atol=1e-5)
    assert not np.allclose(weighted(params, m), without(params, m), atol=1e-2)


def state_sizes(denoiser, weights, seeds):
    """Mean square of every state of every cell, inputs and nodes, over several starts."""
    found = {}
    for key in jax.random.split(jax.random.key(5), seeds):
        x = jax.random.normal(key, (1, 24, 24, 2))
        _, state = denoiser.init_with_output(key, x, weights, capture_intermediates=True)
        for path, value in jax.tree.leaves_with_path(state["intermediates"]):
            place = jax.tree_util.keystr(path)
            if any(part in place for part in ("['pre0']['__", "['pre1']['__", "['nodes']['__")):
                found.setdefault(place, []).append(float(jnp.mean(value**2)))
    return [np.mean(values) for values in found.values()]


@pytest.mark.parametrize("kind", ["supernet", "sum", "weighted"])
@pytest.mark.parametrize("space", PAPER_SPACES)
def test_activations_keep_their_size_at_the_start(space, kind):
    """However many operations a node sums, it starts about as large as what it reads."""
    config = NetworkConfig(space=space, channels=8, cells=2, nodes=3)
    uniform = {"normal": jnp.zeros((9, len(SPACES[space].operations)))}
    if kind == "supernet":
        net = supernet(config).unrolled
    else:
        config = config.model_copy(update={"edges": kind})
        net = derived_network(config, example_genotype(config))
    sizes = state_sizes(net.denoiser(), edge_weights(uniform), seeds=4)
    assert len(sizes) == config.cells * (2 + config.nodes)
    assert all(0.2 < size < 4 for size in sizes), sizes


def _pick(tree, like):
    if not isinstance(like, dict):
        assert tree.shape == like.shape
        return tree
    return {name: _pick(tree[name], child) for name, child in like.items()}


@pytest.mark.optimised
@pytest.mark.parametrize("kind", ["supernet", "derived"])
def test_what_is_computed_again_is_not_kept(kind, key, monkeypatch):
    """Values and all gradients are equal to a loop that keeps all; XLA plans for less memory."""
    few = dataclasses.replace(SPACES["csmri_a"], operations=("sep_conv_3x3", "none"))
    monkeypatch.setitem(SPACES.own, "csmri_a", Entry(few))
    config = SMALL.model_copy(update={"cells": 1, "nodes": 1, "cascades": 6, "plan": "stack"})
    m, memory, found = measurement(key, (32, 32)), {}, {}
    for remat in ("none", "cells", "cascades"):
        changed = config.model_copy(update={"remat": remat})
        if kind == "supernet":
            net = supernet(changed)
            net = net if remat != "none" else net.clone(unrolled=net.unrolled.clone(scanned=True))
        else:
            net = derived_network(changed, example_genotype(changed))
            net = net if remat != "none" else net.clone(scanned=True)
        variables = numpy_params(net, m)

        def loss(variables, net=net):
            return jnp.abs(net.apply(variables, m) - 1).mean()

        compiled = jax.jit(jax.value_and_grad(loss)).lower(variables).compile()
        found[remat] = jax.tree.leaves(compiled(variables))
        memory[remat] = compiled.memory_analysis().temp_size_in_bytes
    for remat in ("cells", "cascades"):
        assert memory[remat] < 0.75 * memory["none"], memory
        for a, b in zip(found[remat], found["none"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_alphas_are_their_own_collection(key):
    variables = jax.eval_shape(supernet(SMALL).init, key, abstract_measurement((16, 16)))
    assert set(variables) == {"params", "alphas"}
    assert variables["alphas"]["normal"].shape == (5, 5)


def test_a_factor_passes_through(key):
    """Bias-free networks are positively homogeneous (Eq. 15): D(c x) = c D(x), c > 0."""
    net = derived_network(SMALL, example_genotype(SMALL))
    m = measurement(key)
    params = numpy_params(net, m)
    double = m.replace(kspace=2 * m.kspace)
    apply = jax.jit(net.apply)
    np.testing.assert_allclose(apply(params, double), 2 * apply(params, m), rtol=1e-4, atol=1e-4)


def test_bfloat16_keeps_physics_in_single_precision(key):
    config = SMALL.model_copy(update={"dtype": "bfloat16"})
    m = measurement(key)
    net = derived_network(config, example_genotype(config))
    variables = init_variables(key, net)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(variables))
    image = jax.jit(net.apply)(variables, m)
    assert image.dtype == jnp.complex64
    # Noiseless data consistency: the measured samples are exact whatever the network computed in.
    np.testing.assert_allclose(fft2c(image) * m.mask, m.kspace, atol=1e-4)
    single = jax.jit(derived_network(SMALL, example_genotype(SMALL)).apply)(variables, m)
    assert jnp.linalg.norm(image - single) < 0.02 * jnp.linalg.norm(single)
