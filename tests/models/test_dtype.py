"""Every network that a config can name computes in the dtype of the config."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from jaxnas.engine.run import Run
from jaxnas.models.costing import abstract_measurement
from jaxnas.models.registry import LABEL_MODELS, MODELS
from jaxnas.reconstruction.networks import build_network
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.segmentation.networks import networks
from jaxnas.segmentation.profile import two_level_space
from jaxnas.segmentation.section import SegmentationConfig
from jaxnas.segmentation.task import two_level_supernet
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.supernet import supernet as unrolled_supernet

DTYPES = ["float32", "bfloat16"]
MIXED = ("conv2d", "dot_general")  # in the name of what multiplies images by weights


def products(jaxpr):
    """The dtypes of the images that a program multiplies by weights."""
    found = set()
    for equation in jaxpr.eqns:
        x = equation.invars[0].aval
        if any(word in equation.primitive.name for word in MIXED) and x.ndim >= 4:
            found |= {x.dtype} if jnp.issubdtype(x.dtype, jnp.floating) else set()
        for inner in jaxprs_in_params(equation.params):
            found |= products(inner)
    return found


def check(dtype, init, *inputs):
    """All products in `dtype`; parameters and what comes out in 32 or 64 bits."""
    key = jax.random.key(0)
    traced, shapes = jax.make_jaxpr(init, return_shape=True)(key, *inputs)
    output, variables = shapes
    assert products(traced.jaxpr) == {jnp.dtype(dtype)}
    wide = {leaf.dtype for leaf in jax.tree.leaves(variables)}
    assert wide == {jnp.dtype("float32")}
    assert output.dtype in (jnp.float32, jnp.complex64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ("derived", *MODELS))
def test_reconstruction(name, dtype):
    config = NetworkConfig(channels=4, cells=1, nodes=2, cascades=1, dtype=dtype, plan="stack")
    genotype = SPACES[config.space].bound(config.nodes).example_genotype()
    net = build_network(name, config, genotype=genotype)
    check(dtype, net.init_with_output, abstract_measurement((32, 32)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("space", SPACES)
def test_what_a_reconstruction_searches(space, dtype):
    settings = {"space": space, "channels": 4, "cells": 1, "nodes": 1, "cascades": 1}
    config = ReconstructionConfig.model_validate(
        {"network": {**settings, "dtype": dtype, "plan": "stack"}}
    )
    net = unrolled_supernet(config.network, rates=None)
    check(dtype, net.init_with_output, abstract_measurement((16, 16)))


def segmentation(dtype, name="unet2d"):
    """A config that trains the network `name`."""
    return SegmentationConfig.model_validate(
        {
            "task": "segmentation",
            "data": {"size": [32, 32]},
            "network": {
                "layers": 2,
                "scales": 2,
                "channels": 4,
                "unet_channels": 4,
                "dtype": dtype,
            },
            "search": {"channels": 4},
            "train": {"models": [name]},
        }
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ("derived", *LABEL_MODELS))
def test_segmentation(name, dtype, tmp_path):
    config = segmentation(dtype, name)
    run = Run(config, tmp_path, quiet=True)
    if name not in LABEL_MODELS:
        genotype = two_level_space(config).random_genotype(np.random.default_rng(0), paths=1)
        run.dir.genotype.write(genotype)
    (net,) = networks(run).values()
    image = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
    check(dtype, partial(net.init_with_output, train=True), image)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_a_segmentation_searches(dtype):
    config = segmentation(dtype)
    space = two_level_space(config)
    net = two_level_supernet(config, space)
    image = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
    weights = jax.eval_shape(lambda: space.relax(space.init_alphas(jax.random.key(0))))

    def init(key, image, weights):
        return net.init_with_output(key, image, weights, train=True)

    check(dtype, init, image, weights)
