import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.mri import masks
from jaxnas.mri.acquisition import measure, zero_filled
from jaxnas.mri.complexes import fft2c, ifft2c
from jaxnas.mri.tv import differences_adjoint, finite_differences, tv_reconstruct
from tests.checks import check_adjoint, check_linear
from tests.mri.scans import random_complex, random_scan

BART_NMSE = 0.000888  # bart pics -R T:7:0:0.01 -i 200 on its phantom


def phantom(size=64):
    """Piecewise constant ellipses, two of them with a phase: complex64 (1, size, size)."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    image = np.zeros((size, size), np.complex64)
    ellipses = [
        (0.0, 0.0, 0.7, 0.85, 1.0),
        (-0.2, 0.1, 0.25, 0.4, 0.5j),
        (0.3, 0.2, 0.15, 0.3, -0.4 + 0.2j),
        (0.1, -0.5, 0.3, 0.15, 0.3),
    ]
    for x0, y0, a, b, value in ellipses:
        image += value * (((x - x0) / a) ** 2 + ((y - y0) / b) ** 2 < 1)
    return image[None]


def scan_of(image, acceleration, fraction, *, seed, peak=6.0, kind="random"):
    """A single-coil measurement of images (B, H, W) with one mask for all."""
    size = image.shape[-2:]
    mask = masks.make_mask(
        kind, size, accelerations=[acceleration], center_fractions=[fraction], seed=seed
    ).samples
    mask = jnp.broadcast_to(mask.astype(np.float32), (len(image), *mask.shape))
    return measure(fft2c(image), mask, None, peak=peak)


def nmse(image, truth):
    error = np.abs(image) - np.abs(truth)
    return float((error**2).sum() / (np.abs(truth) ** 2).sum())


def unscaled(image, scan):
    return np.asarray(image / scan.scale[:, None, None])


@pytest.mark.parametrize("size", [(6, 8), (7, 15)], ids=str)
def test_differences_are_linear_with_their_adjoint(size):
    x, other, p, q = random_complex((4, 3, *size))
    D, DH = jax.jit(finite_differences), jax.jit(differences_adjoint)
    check_linear(D, x, other)
    check_adjoint(D, DH, x, jnp.stack([p, q], -3))
    want = np.stack([np.roll(x, -1, 1) - x, np.roll(x, -1, 2) - x], 1)
    np.testing.assert_allclose(jax.vmap(finite_differences)(x), want, rtol=1e-6)


def test_recovers_a_piecewise_constant_phantom():
    truth = phantom()
    scan = scan_of(truth, 2.5, 0.12, seed=1)
    assert nmse(unscaled(zero_filled(scan), scan), truth) > 0.02
    assert nmse(unscaled(tv_reconstruct(scan), scan), truth) < BART_NMSE


def test_recovers_the_phantom_from_few_columns_of_several_coils():
    truth = phantom()
    height, width = truth.shape[1:]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    corners = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    sens = np.stack([np.exp(-((x - a) ** 2) - (y - b) ** 2 + 1j * a * y) for a, b in corners])
    sens = (sens / np.sqrt((np.abs(sens) ** 2).sum(0)))[None].astype(np.complex64)
    single = scan_of(truth, 4, 0.08, seed=3)
    scan = measure(fft2c(truth[:, None] * sens), single.mask, sens)
    errors = [nmse(unscaled(tv_reconstruct(s, iterations=60), s), truth) for s in (single, scan)]
    assert errors[1] < min(errors[0], 0.002)


def test_does_not_depend_on_the_units_or_the_peak():
    truth = phantom(32)
    small, large = (scan_of(a * truth, 3, 0.1, seed=2, peak=b) for a, b in ((1e-5, 1), (9, 6)))
    want = unscaled(tv_reconstruct(small, iterations=30), small) * 1e5
    got = unscaled(tv_reconstruct(large, iterations=30), large) / 9
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_items_are_independent_and_an_empty_one_stays_empty():
    _, kspace, mask, _ = random_scan()
    scan = measure(kspace.at[1].set(0), mask, None)
    alone = measure(kspace[:1], mask[:1], None)
    both = tv_reconstruct(scan, iterations=10)
    np.testing.assert_allclose(both[:1], tv_reconstruct(alone, iterations=10), atol=1e-5)
    np.testing.assert_array_equal(both[1], 0)


def test_weight_decides_between_data_and_flatness():
    image = phantom(32) + 0.1 * random_complex((1, 32, 32))
    scan = scan_of(image, 2, 0.1, seed=4)

    def result(weight):
        x = tv_reconstruct(scan, weight=weight, iterations=60)
        sampled = jnp.where(scan.mask == 1, fft2c(x) - scan.kspace, 0)
        return jnp.linalg.norm(sampled), jnp.abs(finite_differences(x)).sum()

    misfits, variations = zip(*[result(w) for w in (0.0, 0.003, 0.03)])
    assert misfits[0] < 1e-3 < misfits[1] < misfits[2]
    assert variations[0] > variations[1] > variations[2]


def test_is_a_minimum_of_the_objective():
    scan = scan_of(phantom(16), 2, 0.15, seed=5)
    weight = 0.01
    x = tv_reconstruct(scan, weight=weight, iterations=600)

    def objective(x):
        sampled = jnp.where(scan.mask == 1, fft2c(x) - scan.kspace, 0)
        length = jnp.sqrt((jnp.abs(finite_differences(x)) ** 2).sum(-3))
        return jnp.sum(jnp.abs(sampled) ** 2) / 2 + weight * 6.0 * length.sum()

    best = objective(x)
    for seed in range(5):
        assert objective(x + 0.02 * random_complex(x.shape, seed=seed)) > best


@pytest.mark.real_data
def test_as_good_as_bart_on_its_phantom(real_data):
    path = real_data.parent / "golden" / "bart_tv.npz"
    if not path.is_file():
        pytest.skip(f"no BART fixture at {path}")
    with np.load(path) as file:
        truth, kspace, bart = file["img"][None], file["kspace"][None], file["bart_tv_001"][None]
        mask = jnp.asarray(file["mask"], jnp.float32)[None, None]
    np.testing.assert_allclose(nmse(bart, truth), BART_NMSE, rtol=1e-3)
    scan = measure(kspace, mask, None)
    assert nmse(unscaled(tv_reconstruct(scan), scan), truth) < BART_NMSE / 2


@pytest.mark.real_data
@pytest.mark.parametrize("acceleration, fraction, gain", [(4, 0.08, 0.8), (8, 0.04, 0.3)])
def test_gains_over_zero_filling_on_real_brains(real_data, acceleration, fraction, gain):
    with h5py.File(real_data / "siat" / "siat_s5_axial.h5") as file:
        image = np.asarray(ifft2c(file["kspace"][::5]))[:, 7:263]
    scan = scan_of(image, acceleration, fraction, seed="siat_s5_axial.h5")

    def psnr(x):
        error = np.abs(unscaled(x, scan)) - np.abs(image)
        peak = np.abs(image).max((-2, -1))
        return (10 * np.log10(peak**2 / (error**2).mean((-2, -1)))).mean()

    assert psnr(tv_reconstruct(scan)) > psnr(zero_filled(scan)) + gain
