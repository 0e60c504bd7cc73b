"""The segmentation networks: the published size, PyTorch's U-net, and what all of them must do."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.models.bix_unet import BixUnet
from jaxnas.models.registry import LABEL_MODELS
from jaxnas.models.unet2d import UNet2d
from jaxnas.segmentation.networks import (
    build_segmentation_network,
    segmentation_cost,
)
from jaxnas.spaces.rtdnas import RTDNAS
from tests.models.params import Training, numpy_params


def build(name, channels=4, dtype=jnp.float32):
    genotype = RTDNAS.random_genotype(np.random.default_rng(0), paths=1)
    return build_segmentation_network(
        name, channels=channels, classes=4, genotype=genotype, dtype=dtype
    )


def make_params(net, x):
    """Random kernels, normalisations close to the identity."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        if "scale" in jax.tree_util.keystr(path[-1:]):
            return (1 + 0.1 * rng.normal(size=leaf.shape)).astype(np.float32)
        return leaf if leaf.ndim > 1 else (0.1 * rng.normal(size=leaf.shape)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, numpy_params(Training(net), x)["params"])


def images(channels=1, size=32):
    return np.random.default_rng(1).normal(size=(2, size, size, channels)).astype(np.float32)


def test_bix_unet_is_the_published_one():
    published = segmentation_cost(BixUnet(classes=1), (512, 512), inputs=3)
    assert published.params == 383_904
    assert published.cost.macs / 1e9 == pytest.approx(27.0, abs=0.05)
    ours = segmentation_cost(BixUnet(), (256, 256))
    assert ours.cost.macs / 1e9 == pytest.approx(6.73, abs=0.005)
    shapes = jax.eval_shape(Training(BixUnet()).init, jax.random.key(0), images())["params"]
    kernels = [leaf for path, leaf in jax.tree.leaves_with_path(shapes) if leaf.ndim == 4]
    assert sum(kernel.size for kernel in kernels) == 378_272


def test_unet_is_half_a_million_parameters():
    params = segmentation_cost(build("unet2d", 16), (160, 160)).params
    assert params == pytest.approx(0.49e6, rel=0.02)


def test_unet_is_pytorch_s():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    net, x = UNet2d(channels=4, levels=2), images(size=20)
    params = make_params(net, x)
    p = jax.tree.map(lambda leaf: torch.from_numpy(np.array(leaf)), params)

    def double(x, p):
        for i in range(2):
            kernel, norm = p[f"conv{i}"]["kernel"].permute(3, 2, 0, 1), p[f"norm{i}"]
            x = F.conv2d(x, kernel, padding=1)
            x = F.relu(F.batch_norm(x, None, None, norm["scale"], norm["bias"], True))
        return x

    a = double(torch.from_numpy(x).permute(0, 3, 1, 2), p["down0"])
    b = double(F.max_pool2d(a, 2), p["down1"])
    y = double(F.max_pool2d(b, 2), p["bottom"])
    for skip, level in ((b, 1), (a, 0)):
        up = F.conv_transpose2d(y, p[f"upsample{level}"].permute(2, 3, 0, 1), stride=2)
        y = double(torch.cat([skip, up], 1), p[f"up{level}"])
    y = F.conv2d(y, p["head"]["kernel"].permute(3, 2, 0, 1), p["head"]["bias"])
    got = net.apply({"params": params}, x, train=True)
    np.testing.assert_allclose(got, y.permute(0, 2, 3, 1).numpy(), rtol=1e-3, atol=1e-3)


def bix_in_torch(F, x, p):
    """The published forward pass by its rules: lists of sources, decoders and encoders by name."""
    kernel = {
        name: leaf["kernel"].permute(3, 2, 0, 1)
        for name, leaf in p.items()
        if isinstance(leaf, dict) and "kernel" in leaf
    }

    def block(x, convs, norm):
        for i, conv in enumerate(convs):
            scale, bias = (
                (p["bridge_scale"][i], p["bridge_bias"][i])
                if norm == "bridge"
                else (p[f"{norm}_{i}"]["scale"], p[f"{norm}_{i}"]["bias"])
            )
            x = F.conv2d(x, kernel[conv], padding=1)
            x = F.relu(F.batch_norm(x, None, None, scale, bias, True))
        return x

    def at(x, size):
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)

    gene = """enc 0 0 0; enc 0 1 0; dec 0 0 2; dec 0 2 1; enc 1 0 3 1; enc 1 1 1 0; dec 1 3 0;
        enc 2 1 4; enc 2 2 0; dec 2 0 3; dec 2 1 2 0; dec 2 2 0 2; dec 2 3 0"""
    lines = [line.split() for line in gene.split(";")]
    reads = {(k, int(i), int(l)): [int(r) for r in rest] for k, i, l, *rest in lines}
    start = F.max_pool2d(block(x, [f"stem_{i}" for i in range(3)], "stem_norm"), 2)
    dec = [None] * 4
    for turn in range(3):
        y, enc = start, [x]
        for half in ("enc", "dec"):
            name = {"enc": "encoder", "dec": "decoder"}[half]
            for level in range(4):
                if (half, turn, level) in reads:
                    sources = [y, *(dec if half == "enc" else enc[1:])]
                    used = [at(sources[i], y.shape[-2:]) for i in reads[half, turn, level]]
                    convs = [f"{name}_{level}_{i}" for i in range(2)]
                    y = block(sum(used) / len(used), convs, f"{name}_norm_{turn}_{level}")
                if half == "enc":
                    enc.append(y)
                    y = F.max_pool2d(y, 2)
                else:
                    dec[level] = y
                    y = at(y, enc[3 - level].shape[-2:])
            if half == "enc":
                y = at(block(y, ["bridge_0", "bridge_1"], "bridge"), enc[4].shape[-2:])
    return F.conv2d(block(y, ["tail_0", "tail_1"], "tail_norm"), kernel["head"])


def test_bix_unet_is_the_published_pass():
    torch = pytest.importorskip("torch")
    net, x = BixUnet(), images(size=64)
    params = make_params(net, x)
    p = jax.tree.map(lambda leaf: torch.from_numpy(np.array(leaf)), params)
    want = bix_in_torch(torch.nn.functional, torch.from_numpy(x).permute(0, 3, 1, 2), p)
    got = jax.jit(partial(net.apply, train=True))({"params": params}, x)
    np.testing.assert_allclose(got, want.permute(0, 2, 3, 1).numpy(), rtol=5e-3, atol=5e-3)


def test_gradient_reaches_every_parameter():
    net, x = build("unet2d"), images()
    params = make_params(net, x)

    def loss(params):
        return jnp.sin(net.apply({"params": params}, x, train=True)).mean()

    for path, grad in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(params)):
        assert jnp.isfinite(grad).all() and (grad != 0).any(), jax.tree_util.keystr(path)


@pytest.mark.parametrize("name", ("derived", *LABEL_MODELS))
def test_inference_reads_the_statistics_kept(name):
    net, x = build(name), images(size=64)
    params = make_params(net, x)
    y, kept = jax.jit(partial(net.apply, train=True, mutable=["batch_stats"]))(
        {"params": params}, x
    )
    assert y.shape == (*x.shape[:3], 4) and y.dtype == jnp.float32
    again = jax.jit(partial(net.apply, train=False))({"params": params} | kept, x[:1])
    np.testing.assert_allclose(again, y[:1], atol=1e-3)


@pytest.mark.parametrize("name", ("derived", *LABEL_MODELS))
def test_parameters_and_logits_are_float32(name):
    net = build(name, dtype=jnp.bfloat16)
    y, variables = jax.eval_shape(
        partial(net.init_with_output, train=True), jax.random.key(0), images()
    )
    assert y.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_names():
    with pytest.raises(ValueError, match="needs a genotype"):
        build_segmentation_network("derived", channels=8, classes=4)
    with pytest.raises(ValueError, match="unknown network 'unet3d'"):
        build_segmentation_network("unet3d", channels=8, classes=4)


@pytest.mark.parametrize(("net", "least"), [(UNet2d(levels=3), 8), (BixUnet(), 32)])
def test_images_that_pooling_would_empty_are_refused(net, least):
    with pytest.raises(ValueError, match=f"at least {least}"):
        jax.eval_shape(Training(net).init, jax.random.key(0), images(size=least - 1))
