"""Batch normalisation against PyTorch's, and what it keeps.

Folded networks are the trained ones at inference.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.errors import ScopeCollectionNotFound

from jaxnas.data.prepare import Preparation
from jaxnas.models.bix_unet import BixUnet
from jaxnas.models.unet2d import UNet2d
from jaxnas.ops.norm import FOLDED, NORM_EPSILON, STATISTICS, BatchNorm, fold_norms
from jaxnas.segmentation.apply import Predictor
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.grid import CELL_TYPES
from jaxnas.spaces.rtdnas_network import RtdnasNet
from tests.models.params import Training, numpy_params


def images(seed, shape=(3, 5, 4, 6)):
    return np.random.default_rng(seed).normal(2.0, 3.0, shape).astype(np.float32)


@pytest.mark.parametrize("affine", [True, False])
def test_training_is_pytorch_s_in_value_and_gradient(affine):
    torch = pytest.importorskip("torch")
    x, cotangent = images(0), images(1)
    rng = np.random.default_rng(2)
    params = {"scale": rng.normal(size=6), "bias": rng.normal(size=6)} if affine else {}
    params = {name: value.astype(np.float32) for name, value in params.items()}
    net = BatchNorm(affine=affine)

    def dot(params, x):
        return jnp.vdot(net.apply({"params": params}, x, train=True), cotangent)

    value, grads = jax.value_and_grad(dot, argnums=(0, 1))(params, x)
    leaf = torch.from_numpy(x).requires_grad_()
    own = {name: torch.from_numpy(value).requires_grad_() for name, value in params.items()}
    y = torch.nn.functional.batch_norm(
        leaf.permute(0, 3, 1, 2),
        None,
        None,
        own.get("scale"),
        own.get("bias"),
        True,
        0.1,
        NORM_EPSILON,
    )
    want = (y * torch.from_numpy(cotangent).permute(0, 3, 1, 2)).sum()
    want.backward()
    assert float(value) == pytest.approx(want.item(), rel=1e-4)
    np.testing.assert_allclose(grads[1], leaf.grad, atol=1e-4)
    for name in params:
        np.testing.assert_allclose(grads[0][name], own[name].grad, rtol=1e-4, atol=1e-4)


def test_the_collection_holds_the_statistics_of_the_last_batch():
    net = BatchNorm()
    variables = net.init(jax.random.key(0), images(0), train=True)
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], 0)  # of no image yet
    np.testing.assert_array_equal(variables["batch_stats"]["variance"], 1)
    for seed in (1, 2):
        x = images(seed)
        _, kept = net.apply(variables, x, train=True, mutable=["batch_stats"])
        variables = variables | kept
        np.testing.assert_allclose(kept["batch_stats"]["mean"], x.mean((0, 1, 2)), rtol=1e-5)
        np.testing.assert_allclose(kept["batch_stats"]["variance"], x.var((0, 1, 2)), rtol=1e-5)
    trained = net.apply(variables, images(2), train=True)
    np.testing.assert_allclose(net.apply(variables, images(2), train=False), trained, atol=1e-5)
    # One image alone: by the statistics kept, not by its own.
    alone = net.apply(variables, images(2)[:1], train=False)
    np.testing.assert_allclose(alone, trained[:1], atol=1e-5)


def test_a_training_step_needs_and_leaves_no_state():
    y = BatchNorm(affine=False).apply({}, images(0), train=True)
    np.testing.assert_allclose(y.mean((0, 1, 2)), np.zeros(6), atol=1e-5)
    np.testing.assert_allclose(y.var((0, 1, 2)), np.ones(6), rtol=1e-4)
    with pytest.raises(ScopeCollectionNotFound):
        BatchNorm(affine=False).apply({}, images(0), train=False)


def test_a_constant_channel_becomes_zero():
    x = np.full((2, 4, 4, 3), 7.0, np.float32)
    y, pullback = jax.vjp(lambda x: BatchNorm(affine=False).apply({}, x, train=True), x)
    np.testing.assert_array_equal(y, np.zeros_like(x))
    assert np.isfinite(pullback(jnp.ones_like(y))[0]).all()


def test_statistics_are_float32_whatever_the_image_is():
    x = jnp.asarray(images(0), jnp.bfloat16)
    y, kept = BatchNorm().apply(
        BatchNorm().init(jax.random.key(0), x, train=True), x, train=True, mutable=["batch_stats"]
    )
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(
        kept["batch_stats"]["mean"], np.asarray(x, np.float32).mean((0, 1, 2)), rtol=1e-5
    )


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
