from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.mri import coils
from jaxnas.mri.acquisition import measure
from jaxnas.mri.complexes import fft2c
from jaxnas.mri.consistency import cg, consistency, data_consistency, sense_consistency
from tests.checks import check_adjoint, check_linear
from tests.mri import reference
from tests.mri.scans import KINDS, random_complex, random_scan

LAMBDAS = [None, 0.0, 0.05, 1.0, 30.0]
sampled = pytest.mark.parametrize("kind", KINDS)


@sampled
@pytest.mark.parametrize("lam", LAMBDAS)
def test_closed_form_solves_eq_8(lam, kind):
    image, kspace, mask, _ = random_scan(kind=kind)
    got = jax.jit(data_consistency)(image, kspace, mask, lam=lam)
    for i in range(len(image)):
        sampled = coils.sample(kspace, mask)[i]
        want = reference.solve(image[i], sampled, mask[i], None, lam)
        np.testing.assert_allclose(got[i], want, atol=1e-5)


@sampled
def test_noiseless_limit_replaces_measured_samples_and_keeps_the_others(kind):
    image, kspace, mask, _ = random_scan(kind=kind)
    got = fft2c(data_consistency(image, kspace, mask, lam=None))
    want = jnp.where(mask == 1, kspace, fft2c(image))
    np.testing.assert_allclose(got, want, atol=1e-5)
    at_infinity = data_consistency(image, kspace, mask, lam=float("inf"))
    np.testing.assert_allclose(fft2c(at_infinity), want, atol=1e-5)


@sampled
@pytest.mark.parametrize("lam", [None, 0.3])
def test_the_layer_without_data_is_linear_and_self_adjoint(lam, kind):
    image, kspace, mask, _ = random_scan(kind=kind)

    @jax.jit
    def layer(x):
        return data_consistency(x, jnp.zeros_like(kspace), mask, lam=lam)

    other = random_complex(image.shape, seed=7)
    check_linear(layer, image, other)
    check_adjoint(layer, layer, image, other)
    vmapped = jax.vmap(lambda *a: data_consistency(*a, lam=lam))(image, kspace, mask)
    np.testing.assert_allclose(vmapped, data_consistency(image, kspace, mask, lam=lam), atol=1e-6)


def test_gradient_of_lambda_is_that_of_finite_differences():
    image, kspace, mask, _ = random_scan()

    def loss(lam):
        return jnp.sum(jnp.abs(data_consistency(image, kspace, mask, lam=lam)) ** 2)

    lam, h = 0.5, 1e-2
    want = (loss(lam + h) - loss(lam - h)) / (2 * h)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(lam), want, rtol=1e-2)


@sampled
@pytest.mark.parametrize("lam", LAMBDAS)
def test_one_entry_serves_single_and_multi_coil(lam, kind):
    image, kspace, mask, _ = random_scan(kind=kind)
    single = measure(kspace, mask, None)
    ones = jnp.ones((2, 1, *image.shape[1:]), jnp.complex64)
    multi = measure(kspace[:, None], mask, ones)
    got, want = consistency(image, multi, lam=lam), consistency(image, single, lam=lam)
    np.testing.assert_allclose(got, want, atol=1e-4)


@sampled
@pytest.mark.parametrize("channels", [None, 3])
def test_an_image_that_explains_the_data_is_left_alone(channels, kind):
    image, _, mask, sens = random_scan(coils=channels, kind=kind)
    scan = measure(coils.forward(image, mask, sens), mask, sens)
    truth = image * scan.scale[:, None, None]
    for lam in (None, 2.0):
        np.testing.assert_allclose(consistency(truth, scan, lam=lam), truth, atol=1e-5)


@pytest.mark.parametrize("channels", [None, 2])
def test_sampling_by_columns_and_by_pixels_agree(channels):
    """A mask of whole columns takes a shorter way than the same mask pixel by pixel."""
    image, kspace, mask, sens = random_scan(coils=channels)
    pixels = jnp.broadcast_to(mask, image.shape)
    for name, arguments in (("gram", (image,)), ("residual", (image, kspace))):
        function = getattr(coils, name)
        got, want = function(*arguments, mask, sens), function(*arguments, pixels, sens)
        np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.optimised
def test_no_transform_is_computed_twice():
    """Each step of a network transforms one axis and back; that of the data is shared."""

    def steps(image, kspace, mask):
        for _ in range(3):
            image = data_consistency(image * jnp.abs(image), kspace, mask, lam=None)
        return image

    image, kspace, mask, _ = random_scan()
    program = jax.jit(steps).lower(image, kspace, mask).compile().as_text()
    lengths = [line for line in program.splitlines() if "fft_type=" in line]
    assert len(lengths) == 1 + 2 * 3
    assert all("," not in line.split("fft_length={")[1].split("}")[0] for line in lengths)


SIZE = (5, 8)


def hermitian(batch, n, smallest):
    """Positive definite (batch, n, n) with eigenvalues from `smallest` to 1."""
    q = np.linalg.qr(np.asarray(random_complex((batch, n, n), seed=9)))[0]
    eigenvalues = np.linspace(smallest, 1, n)
    return jnp.asarray((q * eigenvalues) @ q.conj().swapaxes(-1, -2))


def apply(matrix):
    """The operator of a batch of matrices on images (batch, 1, n)."""
    return lambda x: jnp.einsum("bij,bhj->bhi", matrix, x, precision="highest")


def test_solves_hermitian_systems():
    matrix = hermitian(3, 12, 0.1)
    rhs = random_complex((3, 1, 12), seed=1)
    x = jax.jit(lambda rhs: cg(apply(matrix), rhs, iterations=30))(rhs)
    residual = jnp.linalg.norm(rhs - apply(matrix)(x), axis=-1) / jnp.linalg.norm(rhs, axis=-1)
    assert residual.max() < 1e-5
    want = np.linalg.solve(np.asarray(matrix, np.complex128), np.asarray(rhs)[:, 0, :, None])
    np.testing.assert_allclose(x[:, 0], want[..., 0], rtol=1e-4, atol=1e-4)


def test_error_in_the_energy_norm_never_grows():
    matrix = hermitian(1, 16, 0.02)
    rhs = random_complex((1, 1, 16), seed=1)
    truth = np.linalg.solve(matrix[0], rhs[0, 0])[None, None]

    def error(iterations):
        d = cg(apply(matrix), rhs, iterations=iterations) - truth
        return float(jnp.vdot(d, apply(matrix)(d)).real)

    errors = [error(n) for n in (0, 1, 4, 16, 32)]
    assert all(b <= a + 1e-6 for a, b in pairwise(errors)) and errors[-1] < 1e-6


def test_every_item_freezes_on_its_own():
    easy = jnp.eye(12, dtype=jnp.complex64)[None]
    matrix = jnp.concatenate([easy, hermitian(1, 12, 0.01), easy])
    rhs = random_complex((3, 1, 12), seed=1).at[2].set(0)
    short, long = (cg(apply(matrix), rhs, iterations=n, tol=1e-3) for n in (2, 60))
    np.testing.assert_array_equal(short[0], long[0])  # solved by the first iteration
    np.testing.assert_allclose(long[0], rhs[0], rtol=1e-6)
    assert (short[1] != long[1]).any()  # still at work
    np.testing.assert_array_equal(long[2], 0)  # never begun
    longer = cg(apply(matrix), rhs, iterations=120, tol=1e-3)
    np.testing.assert_array_equal(long, longer)
    alone = cg(apply(matrix[1:2]), rhs[1:2], iterations=60, tol=1e-3)
    np.testing.assert_allclose(long[1:2], alone, rtol=1e-4, atol=1e-4)


def test_gradient_equals_that_of_the_dense_solve():
    matrix = hermitian(2, 6, 0.2)
    rhs, weights = random_complex((2, 2, 1, 6), seed=1)

    def loss(solve, shift):
        shifted = matrix + shift * jnp.eye(6)[None]
        return jnp.vdot(weights, solve(shifted)).real

    def by_cg(matrix):
        return cg(apply(matrix), rhs, iterations=20)

    def dense(matrix):
        return jnp.linalg.solve(matrix, rhs.swapaxes(-1, -2)).swapaxes(-1, -2)

    got, want = (
        jax.jit(jax.grad(lambda shift, solve=solve: loss(solve, shift)))(0.1)
        for solve in (by_cg, dense)
    )
    np.testing.assert_allclose(got, want, rtol=1e-3)


def test_gradient_is_finite_for_converged_and_empty_items():
    def loss(rhs):
        return jnp.sum(jnp.abs(cg(lambda x: 2 * x, rhs, iterations=10)) ** 2)

    gradient = jax.jit(jax.grad(loss))(jnp.ones((2, 3, 3), jnp.complex64).at[1].set(0))
    np.testing.assert_allclose(gradient[0], 0.5, rtol=1e-5)
    np.testing.assert_array_equal(gradient[1], 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lam", [None, 0.0, 0.05, 1.0, 20.0])
@pytest.mark.parametrize("channels", [None, 2])
def test_sense_consistency_solves_the_normal_equations(lam, channels, kind):
    image, kspace, mask, sens = random_scan(coils=channels, size=SIZE, kind=kind)
    kspace = coils.sample(kspace, mask)
    solve = jax.jit(sense_consistency, static_argnames="iterations")
    got = solve(image, kspace, mask, sens, lam=lam, iterations=60)
    for i in range(len(image)):
        maps = None if sens is None else sens[i]
        want = reference.solve(image[i], kspace[i], mask[i], maps, lam)
        np.testing.assert_allclose(got[i], want, atol=2e-3 if lam is None else 1e-4)


def test_sense_consistency_residual_is_small():
    image, kspace, mask, sens = random_scan(coils=3)
    lam = 5.0
    x = sense_consistency(image, kspace, mask, sens, lam=lam, iterations=20)
    left = x + lam * coils.adjoint(coils.forward(x, mask, sens), mask, sens)
    right = image + lam * coils.adjoint(kspace, mask, sens)
    assert jnp.linalg.norm(left - right) < 1e-5 * jnp.linalg.norm(right)


def test_sense_consistency_runs_under_vmap():
    image, kspace, mask, sens = random_scan(coils=2)

    def layer(*scan):
        return sense_consistency(*scan, lam=1.0, iterations=6)

    got, want = jax.vmap(layer)(image, kspace, mask, sens), layer(image, kspace, mask, sens)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_gradients_through_sense_consistency():
    image, kspace, mask, sens = random_scan(batch=1, coils=2, size=SIZE)
    kspace, lam, h = coils.sample(kspace, mask), 0.7, 1e-4

    def loss(image, lam):
        x = sense_consistency(image, kspace, mask, sens, lam=lam, iterations=12)
        return jnp.sum(jnp.abs(x) ** 2)

    def dense(lam):
        x = reference.solve(image[0], kspace[0], mask[0], sens[0], lam)
        return np.sum(np.abs(x) ** 2)

    g_image, g_lam = jax.jit(jax.grad(loss, argnums=(0, 1)))(image, lam)
    np.testing.assert_allclose(g_lam, (dense(lam + h) - dense(lam - h)) / (2 * h), rtol=1e-3)
    # d ||x||^2 = 2 Re <x, B dz> with B = (I + lam A^H A)^-1 self-adjoint: the gradient is 2 B x.
    x = reference.solve(image[0], kspace[0], mask[0], sens[0], lam)
    want = 2 * reference.solve(x, np.zeros(kspace[0].shape), mask[0], sens[0], lam)
    np.testing.assert_allclose(g_image[0].conj(), want, atol=1e-3)
