"""Deployed networks are the derived ones, computed otherwise."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.models.costing import network_cost
from jaxnas.ops.candidates import OPERATIONS
from jaxnas.ops.costs import Prices, device_costs
from jaxnas.reconstruction.networks import build_network
from jaxnas.spaces.deploy import deploy_params, deployed
from jaxnas.spaces.joins import (
    Term,
    plan_nodes,
    support,
    targets,
)
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.supernet import derived_network
from tests.models.params import numpy_params
from tests.spaces.test_supernet import measurement

CPU, ACCELERATOR = device_costs("cpu").deployment, device_costs("gpu").deployment
JOIN_ALL = Prices(tap=1e9, value=1e9, outputs=10**9)
KEEP_ALL = Prices(tap=0.0, value=0.0)
CONFIG = NetworkConfig(channels=4, cells=2, nodes=3, cascades=2)


def random_genotype(space, seed, nodes=3):
    tables = np.random.default_rng(seed).dirichlet(
        np.ones(len(SPACES[space].operations)), len(SPACES[space].bound(nodes).edges())
    )
    return SPACES[space].derive({"normal": tables})


def derived(space, seed, **options):
    config = CONFIG.model_copy(update={"space": space, "edges": "weighted"} | options)
    return derived_network(config, random_genotype(space, seed))


@pytest.mark.parametrize(
    ("space", "seed", "prices"),
    [
        ("csmri_a", 0, CPU),
        ("csmri_a", 1, JOIN_ALL),
        ("csmri_b", 2, ACCELERATOR),
        ("csmri_b", 3, JOIN_ALL),
        ("fedautomri", 4, CPU),
        ("fedautomri", 5, KEEP_ALL),
        ("fedautomri", 6, JOIN_ALL),
    ],
)
def test_same_function_in_float64(space, seed, prices):
    net = derived(space, seed)
    with jax.enable_x64(True):
        whole, rng = net.denoiser().clone(dtype=jnp.float64), np.random.default_rng(seed)
        net = net.clone(denoiser=lambda name=None: whole.clone(name=name))
        x = rng.normal(size=(1, 12, 13, 2))
        params = jax.tree.map(np.float64, numpy_params(whole, x)["params"])
        small = deployed(net, prices=prices).denoiser()
        moved = deploy_params(net, {"denoiser": params}, prices=prices)["denoiser"]
        y = jax.jit(small.apply)({"params": moved}, x)
        assert y.dtype == jnp.float64
        truth = jax.jit(whole.apply)({"params": params}, x)
        np.testing.assert_allclose(y, truth, rtol=0, atol=1e-10 * np.abs(truth).max())
        assert np.abs(truth - x).max() > 1e-3


@pytest.mark.parametrize("shared", [False, True])
def test_the_unrolled_network_keeps_its_other_parameters(shared, key):
    net = derived("fedautomri", 0, shared=shared, lam=5.0, learn_lam=True, cells=1)
    m = measurement(key)
    params = numpy_params(net, m)["params"]
    params["log_lam"] = np.float32(1.5)
    small, moved = deployed(net, prices=CPU), deploy_params(net, params, prices=CPU)
    assert jax.tree.map(np.shape, moved) == jax.tree.map(
        lambda leaf: leaf.shape, jax.eval_shape(small.init, key, m)["params"]
    )
    image = jax.jit(small.apply)({"params": moved}, m)
    truth = jax.jit(net.apply)({"params": params}, m)
    np.testing.assert_allclose(image, truth, rtol=0, atol=1e-5 * np.abs(truth).max())


def test_other_networks_pass_unchanged():
    net = build_network("dccnn", CONFIG)
    assert deployed(net, prices=CPU) is net
    params = {"weights": np.ones(3)}
    assert deploy_params(net, params, prices=CPU) is params


def test_what_is_joined_is_counted():
    """Joining everything, each map is a dense kernel of the largest support from its state."""
    net = derived("fedautomri", 0)
    plan = deployed(net, prices=JOIN_ALL).denoiser().plan
    c, cells, cascades = CONFIG.channels, CONFIG.cells, CONFIG.cascades
    joins = sum(
        int(np.prod(support(join))) * c * c * len(targets(join))
        for leaving in plan
        for join in leaving.joins
    )
    # The stems' 2 → C and C → C, the cells' inputs (the first cell reads stems), the tail.
    outside = 9 * 2 * c + 9 * c * c + 9 * 3 * c * 2 + (2 * 2 - 1) * c * c + 3 * c * c
    cost = network_cost(deployed(net, prices=JOIN_ALL), (32, 32))
    assert cost.params == cascades * (cells * joins + outside)
    assert cost.cost.macs == 32 * 32 * cost.params


def node(*pairs):
    return tuple(pairs)


def test_nothing_is_lost_or_doubled():
    picks = random_genotype("fedautomri", 7, nodes=4).cell("normal")
    shares = tuple(tuple(0.25 * (i + 1) for i, _ in enumerate(pairs)) for pairs in picks)
    for prices in (CPU, ACCELERATOR, JOIN_ALL, KEEP_ALL):
        plan = plan_nodes(picks, shares, channels=8, prices=prices)
        found = sorted(
            (term.node, source, term.operation, term.weight)
            for source, leaving in enumerate(plan)
            for term in itertools.chain(leaving.skips, leaving.kept, *leaving.joins)
        )
        assert found == sorted(
            (number, source, operation, share)
            for number, (pairs, own) in enumerate(zip(picks, shares))
            for (operation, source), share in zip(pairs, own)
        )


@pytest.mark.parametrize("channels", [8, 32])
def test_the_plan_of_an_edge_by_hand(channels):
    """Two standard kernels of one edge are one; a lone separable map stays, on CPU."""
    two = (node(("std_conv_3x3", 0), ("std_conv_7x7", 0)),)
    (first, *_) = plan_nodes(two, ((1.0, 1.0),), channels=channels, prices=CPU)
    assert first.joins == ((Term(0, "std_conv_3x3", 1.0), Term(0, "std_conv_7x7", 1.0)),)
    assert support(first.joins[0]) == (7, 7)
    lone = (node(("sep_conv_5x5", 0)),)
    (first, *_) = plan_nodes(lone, ((1.0,),), channels=channels, prices=CPU)
    assert first.kept == (Term(0, "sep_conv_5x5", 1.0),) and not first.joins


def test_support_covers_dilation():
    sizes = {name: support([Term(0, name, 1.0)]) for name in OPERATIONS}
    assert sizes["dil_2_conv_3x3"] == (5, 5) and sizes["dil_3_conv_3x3"] == (7, 7)
    assert sizes["conv_9x1_1x9"] == (9, 9) and sizes["std_conv_5x5"] == (5, 5)


def test_platforms_have_prices():
    assert CPU != ACCELERATOR
    assert device_costs("cuda") is device_costs("tpu") is device_costs("gpu")
