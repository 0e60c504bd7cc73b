import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.mri import coils
from tests.checks import check_adjoint, check_linear
from tests.mri import reference
from tests.mri.scans import KINDS, random_complex, random_scan

COILS = [None, 3]
sampled = pytest.mark.parametrize("kind", KINDS)


def signed_zeros(x):
    """How many real or imaginary parts are -0."""
    parts = np.stack([np.real(x), np.imag(x)])
    return int((np.signbit(parts) & (parts == 0)).sum())


@sampled
@pytest.mark.parametrize("channels", COILS)
@pytest.mark.parametrize("operator", ["sense", "expand", "sample"])
def test_linear_and_adjoint(channels, operator, kind):
    image, kspace, mask, sens = random_scan(coils=channels, kind=kind)
    A, AH, x = {
        "sense": (
            lambda x: coils.forward(x, mask, sens),
            lambda y: coils.adjoint(y, mask, sens),
            image,
        ),
        "expand": (lambda x: coils.expand(x, sens), lambda y: coils.combine(y, sens), image),
        "sample": (lambda y: coils.sample(y, mask), lambda y: coils.sample(y, mask), kspace[::-1]),
    }[operator]
    other = random_complex(x.shape, seed=5)
    A, AH = jax.jit(A), jax.jit(AH)
    check_linear(A, x, other)
    check_linear(AH, kspace, A(other))
    check_adjoint(A, AH, x, kspace)


@sampled
@pytest.mark.parametrize("size", [(8, 16), (7, 15)], ids=str)
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_equal_to_numpy(size, channels, kind):
    image, kspace, mask, sens = random_scan(coils=channels, size=size, kind=kind)
    got = coils.forward(image, mask, sens)
    back = coils.adjoint(kspace, mask, sens)
    for i in range(len(image)):
        maps = None if sens is None else sens[i]
        want = reference.forward(image[i], mask[i], maps)
        np.testing.assert_allclose(got[i], want, atol=1e-5)
        A = reference.matrix(mask[i], maps, size)
        want = A.conj().T @ np.asarray(kspace[i], np.complex128).ravel()
        np.testing.assert_allclose(back[i], want.reshape(size), atol=1e-5)


@pytest.mark.parametrize("channels", COILS)
def test_vmap_over_items_equals_the_batch(channels):
    image, kspace, mask, sens = random_scan(coils=channels)
    axes = (0, 0, None if sens is None else 0)
    got = jax.vmap(coils.forward, axes)(image, mask, sens)
    np.testing.assert_allclose(got, coils.forward(image, mask, sens), atol=1e-6)
    got = jax.vmap(coils.adjoint, axes)(kspace, mask, sens)
    np.testing.assert_allclose(got, coils.adjoint(kspace, mask, sens), atol=1e-6)


@pytest.mark.parametrize("channels", COILS)
def test_gradient_of_the_misfit_is_the_adjoint_of_the_residual(channels):
    image, kspace, mask, sens = random_scan(coils=channels)

    def misfit(x):
        return jnp.sum(jnp.abs(coils.forward(x, mask, sens) - coils.sample(kspace, mask)) ** 2)

    # JAX returns the conjugate of the descent direction 2 A^H (A x - s).
    residual = coils.forward(image, mask, sens) - kspace
    want = 2 * coils.adjoint(residual, mask, sens)
    np.testing.assert_allclose(jax.jit(jax.grad(misfit))(image).conj(), want, atol=1e-4)


@sampled
@pytest.mark.parametrize("channels", COILS)
def test_gram_is_self_adjoint_positive_and_no_larger_than_the_identity(channels, kind):
    image, _, mask, sens = random_scan(coils=channels, kind=kind)

    @jax.jit
    def gram(x):
        return coils.gram(x, mask, sens)

    want = coils.adjoint(coils.forward(image, mask, sens), mask, sens)
    np.testing.assert_allclose(gram(image), want, atol=1e-5)
    check_adjoint(gram, gram, image, random_complex(image.shape, seed=2))
    A = reference.matrix(mask[0], None if sens is None else sens[0], image.shape[1:])
    assert np.linalg.norm(A, 2) < 1 + 1e-5
    energy = jnp.vdot(image, gram(image))
    assert 0 < energy.real <= (1 + 1e-5) * jnp.vdot(image, image).real
    assert abs(energy.imag) < 1e-3


def test_normalised_maps_combine_back_to_the_image():
    image, _, _, sens = random_scan(coils=4)
    np.testing.assert_allclose(coils.combine(coils.expand(image, sens), sens), image, atol=1e-5)


@pytest.mark.parametrize("channels", COILS)
def test_no_sign_leaks_past_the_mask(channels):
    _, kspace, mask, _ = random_scan(coils=channels)
    negative = -jnp.abs(kspace.real) - 1j * jnp.abs(kspace.imag)
    assert signed_zeros(np.asarray(negative) * np.asarray(coils.mask_like(mask, kspace))) > 0
    for function in (coils.sample, jax.jit(coils.sample)):
        sampled = function(negative, mask)
        assert signed_zeros(sampled) == 0
        np.testing.assert_array_equal(sampled != 0, coils.mask_like(mask, kspace) * (kspace != 0))


def test_sample_discards_what_was_not_measured_even_if_not_finite():
    _, kspace, mask, _ = random_scan()
    broken = jnp.where(mask == 0, jnp.nan, kspace)
    np.testing.assert_array_equal(coils.sample(broken, mask), coils.sample(kspace, mask))


def test_mask_of_wrong_rank_is_refused():
    with pytest.raises(ValueError, match=r"mask of rank 4 or 3 .* found shape \(1, 6\)"):
        coils.sample(random_complex((2, 3, 5, 6)), jnp.ones((1, 6)))
