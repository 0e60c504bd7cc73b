"""Folded networks are the trained ones at inference."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.data.prepare import Preparation
from jaxnas.models.bix_unet import BixUnet
from jaxnas.models.unet2d import UNet2d
from jaxnas.ops.norm import FOLDED, STATISTICS, fold_norms
from jaxnas.segmentation.apply import Predictor
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.grid import CELL_TYPES
from jaxnas.spaces.rtdnas_network import RtdnasNet
from tests.models.params import Training, numpy_params

NODES = (
    (("sep_conv_3x3", 0),),
    (("dil_conv_5x5", 0), ("max_pool_3x3", 1)),
    (("conv_3x3", 1), ("skip_connect", 2)),
)
DERIVED = RtdnasNet(
    Genotype("rtdnas", tuple((cell, NODES) for cell in CELL_TYPES), ((0, 1, 0),)), channels=4
)
# Normalisations whose scale no kernel takes up: those of pools, and of kernels that are shared.
NETWORKS = {
    "derived": (DERIVED, {"x2_from1_max_pool_3x3"}),
    "plain": (dataclasses.replace(DERIVED, affine=False), {"x2_from1_max_pool_3x3"}),
    "unet2d": (UNet2d(channels=4, levels=2), set()),
}


def trained(net, size=16):
    """Random variables with statistics and affine parameters far from where they start."""
    x = np.random.default_rng(1).normal(size=(2, size, size, 1)).astype(np.float32)
    rng = np.random.default_rng(0)

    def draw(leaf):
        return rng.uniform(0.5, 2.0, leaf.shape).astype(np.float32) if leaf.ndim == 1 else leaf

    return jax.tree.map(draw, numpy_params(Training(net), x)), x


def kept_scales(folded):
    """The modules of the normalisations that still have a scale."""
    paths = [path for path, _ in jax.tree.leaves_with_path(folded) if path[-1].key == "scale"]
    return {path[-3].key for path in paths}


@pytest.mark.parametrize("name", NETWORKS)
def test_same_function(name):
    net, pools = NETWORKS[name]
    variables, x = trained(net)
    small = fold_norms(variables)
    assert set(small) == {"params", FOLDED} and kept_scales(small[FOLDED]) == pools
    apply = jax.jit(lambda variables, x: net.apply(variables, x, train=False))
    y, truth = apply(small, x), apply(variables, x)
    np.testing.assert_allclose(y, truth, rtol=0, atol=2e-5 * np.abs(truth).max())
    other = jax.tree.map(jnp.ones_like, variables[STATISTICS])
    assert np.abs(apply({**variables, STATISTICS: other}, x) - truth).max() > 0.01


def test_shared_kernels_keep_their_scales():
    """The passes of BiX-NAS share convolutions but not normalisations; shapes are enough here."""
    net = BixUnet(4)
    x = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
    variables = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=True), x)
    small = jax.eval_shape(fold_norms, variables)
    norms = [p for p, _ in jax.tree.leaves_with_path(small[FOLDED]) if p[-1].key == "bias"]
    scales = [p for p, _ in jax.tree.leaves_with_path(small[FOLDED]) if p[-1].key == "scale"]
    assert len(norms) == len(scales) > 10
    y = jax.eval_shape(lambda v, x: net.apply(v, x, train=False), small, x)
    assert y.shape == (1, 32, 32, 4)


def test_the_predictor_folds():
    net, _ = NETWORKS["unet2d"]
    variables, x = trained(net)
    predictor = Predictor(net, variables, Preparation(None, (16, 16)))
    assert set(predictor.variables) == {"params", FOLDED}
    truth = jax.nn.softmax(net.apply(variables, x, train=False))
    np.testing.assert_allclose(predictor.predict(x[..., 0]), truth, atol=2e-5)


def test_networks_without_statistics_pass_unchanged():
    variables = {"params": {"kernel": np.ones(3)}}
    assert fold_norms(variables) is variables
