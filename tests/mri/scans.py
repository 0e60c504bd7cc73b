"""Small random scans for the tests of this room."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxnas.mri.complexes import rss
from jaxnas.mri.random_mask import draw_random_mask
from tests.checks import complex_normal


@partial(jax.jit, static_argnames=("batch", "coils", "size"))
def random_scan(key, *, batch=2, coils=None, size=(7, 15)):
    """Image, sampled-or-not k-space of its shape, mask and normalised maps, none related."""
    keys = jax.random.split(key, 4)
    channels = () if coils is None else (coils,)
    image = complex_normal(keys[0], (batch, *size))
    kspace = complex_normal(keys[1], (batch, *channels, *size))
    mask = draw_random_mask(
        keys[2], (batch,), columns=size[1], accelerations=(2,), center_fractions=(0.15,)
    )
    sens = None
    if coils is not None:
        sens = complex_normal(keys[3], kspace.shape)
        sens = sens / jnp.expand_dims(rss(sens), -3)
    return image, kspace, mask, sens
