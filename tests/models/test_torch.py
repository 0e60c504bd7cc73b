"""The denoisers against the same networks in PyTorch, with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.models.cascades import RecursiveDilatedDenoiser, ResidualDenoiser
from jaxnas.models.fastmri_unet import FastmriUNet
from jaxnas.models.unet import UNet
from tests.models.params import numpy_params

torch = pytest.importorskip("torch")
F = torch.nn.functional


def conv(x, p, *, dilation=1):
    """A SAME convolution with a layer's parameters, HWIO turned to OIHW."""
    kernel = p["kernel"].permute(3, 2, 0, 1)
    padding = dilation * (kernel.shape[-1] // 2)
    return F.conv2d(x, kernel, p.get("bias"), padding=padding, dilation=dilation)


def residual(x, p):
    h = conv(x, p["stem"])
    for n in range(2):
        block = p[f"block{n}"]
        h = h + conv(F.relu(conv(h, block["conv1"])), block["conv2"])
    return x + conv(h, p["tail"])


def recursive(x, p):
    stem = h = F.leaky_relu(conv(x, p["stem"]))
    for _ in range(2):
        for d in (1, 2, 3):
            h = F.leaky_relu(conv(h, p[f"dilated{d}"], dilation=d))
        h = h + stem
    return x + conv(h, p["tail"])


def old_unet(x, p):
    def double(x, p):
        return F.relu(conv(F.relu(conv(x, p["conv1"])), p["conv2"]))

    skips = []
    for n in range(2):
        skips.append(double(x, p[f"down{n}"]))
        x = F.max_pool2d(skips[-1], 2)
    x = double(x, p["bottom"])
    for n in (1, 0):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = double(torch.cat([fit(x, skips[n]), skips[n]], 1), p[f"up{n}"])
    return conv(conv(conv(x, p["tail0"]), p["tail1"]), p["tail2"])


def new_unet(x, p):
    def act(x):
        return F.leaky_relu(F.instance_norm(x), 0.2)

    def double(x, p):
        return act(conv(act(conv(x, p["conv1"])), p["conv2"]))

    skips = []
    for n in range(2):
        skips.append(double(x, p[f"down{n}"]))
        x = F.avg_pool2d(skips[-1], 2)
    x = double(x, p["bottom"])
    for n in (1, 0):
        kernel = p[f"upsample{n}"]["kernel"].permute(2, 3, 0, 1)
        x = act(F.conv_transpose2d(x, kernel, stride=2))
        x = double(torch.cat([fit(x, skips[n]), skips[n]], 1), p[f"up{n}"])
    return conv(x, p["tail"])


def fit(x, skip):
    """Reflect-pads right and bottom, as fastMRI does for odd sizes."""
    rows, columns = (b - a for a, b in zip(x.shape[2:], skip.shape[2:]))
    return F.pad(x, (0, columns, 0, rows), "reflect")


NETWORKS = {
    "dccnn": (ResidualDenoiser(channels=8, blocks=2), residual),
    "rdn": (RecursiveDilatedDenoiser(channels=8, recursions=2), recursive),
    "unet": (UNet(channels=8, levels=2), old_unet),
    "fastmri_unet": (FastmriUNet(channels=8, levels=2), new_unet),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_forward_is_pytorch_s(name, key):
    net, reference = NETWORKS[name]
    # 15 rows are odd at both poolings, 20 columns at none.
    x = jax.random.normal(key, (2, 15, 20, 2))
    # Biases start at zero: only other values show that they are used.
    params = numpy_params(net, x, bias=0.1)["params"]
    got = jax.jit(net.apply)({"params": params}, x)
    weights = jax.tree.map(lambda a: torch.from_numpy(a), params)
    want = reference(torch.from_numpy(np.array(jnp.moveaxis(x, -1, 1))), weights)
    np.testing.assert_allclose(jnp.moveaxis(got, -1, 1), want.numpy(), rtol=1e-4, atol=1e-4)
