"""The losses of images against their equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.reconstruction.loss import l2
from jaxnas.reconstruction.section import LOSSES, ReconstructionConfig

pytestmark = pytest.mark.quick


def images(seed):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(3, 5, 4)) + 1j * rng.normal(size=(3, 5, 4))).astype(np.complex64)


@pytest.mark.parametrize("section", ["search", "train"])
def test_the_names_of_a_config_are_those_of_the_losses(section):
    for name in LOSSES:
        assert (
            getattr(ReconstructionConfig.model_validate({section: {"loss": name}}), section).loss
            == name
        )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("l1", lambda d: np.mean([np.abs(d.real).mean(), np.abs(d.imag).mean()])),
        ("l2", lambda d: np.mean([np.linalg.norm(x) / np.sqrt(2 * x.size) for x in d])),
    ],
)
def test_equation(name, expected):
    image, target = images(0), images(1)
    found = LOSSES[name](image, target)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected(image - target), rtol=1e-6)


def test_an_image_that_is_met_exactly_has_no_gradient():
    """An empty slice stays empty: the norm has no slope at 0, and must not make one up."""
    target = jnp.asarray(images(1)).at[1].set(0.0)
    slope = jax.grad(lambda parts: l2(parts[0] + 1j * parts[1], target))
    image = images(0)
    image[1] = 0
    found = np.asarray(slope(jnp.stack([image.real, image.imag])))
    assert np.isfinite(found).all() and (found[:, 1] == 0).all() and (found[:, 0] != 0).all()
