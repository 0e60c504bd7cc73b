"""Small random scans for the tests of this room, drawn in NumPy so that nothing compiles."""

import jax.numpy as jnp
import numpy as np

from jaxnas.mri.masks import make_mask

KINDS = ("random", "poisson")  # of whole columns and of single points


def random_complex(shape, *, seed=1):
    """A complex64 array with independent standard normal parts."""
    rng = np.random.default_rng(seed)
    return jnp.asarray((rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64))


def random_scan(*, batch=2, coils=None, size=(7, 15), kind="random"):
    """Image, full k-space, mask and normalised maps of one shape, unrelated to each other."""
    channels = () if coils is None else (coils,)
    pairs = {"accelerations": [2], "center_fractions": [0.15]}
    masks = [make_mask(kind, size, seed=i, **pairs).samples for i in range(batch)]
    sens = None
    if coils is not None:
        sens = np.asarray(random_complex((batch, coils, *size), seed=2))
        sens = jnp.asarray(sens / np.linalg.norm(sens, axis=1, keepdims=True))
    return (
        random_complex((batch, *size), seed=3),
        random_complex((batch, *channels, *size), seed=4),
        jnp.asarray(np.stack(masks).astype(np.float32)),
        sens,
    )
