"""Image metrics against fastMRI's own values and scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import metrics as skimage

from jaxnas.metrics import image as metrics

# fastMRI 0.3.0 (fastmri.evaluate) on the volumes of `pair`, computed there in float64.
FASTMRI_NMSE = 0.0031551833681383043
FASTMRI_PSNR = 30.821052971408815
FASTMRI_SSIM = 0.9836731918509946
SLICE_SSIM_VOLUME_MAX = [0.984459076204886, 0.984833185495931, 0.9817273138521666]
SLICE_SSIM_SLICE_MAX = [0.984459076204886, 0.984833185495931, 0.981721941845412]
SLICE_PSNR_VOLUME_MAX = [30.825826369295388, 30.416794836662227, 31.26155643598895]


@pytest.fixture(scope="module")
def pair():
    """The target and prediction (3, 48, 40) that fastMRI was run on."""
    z, y, x = np.meshgrid(np.arange(3), np.arange(48), np.arange(40), indexing="ij")
    target = 1 + np.sin(0.11 * (x + 1) * (z + 1)) + np.cos(0.07 * y * (z + 1))
    return target, 0.95 * target + 0.05 * np.sin(0.3 * x + 0.2 * y + z)


def test_volume_values_are_fastmri_s(pair):
    np.testing.assert_allclose(metrics.volume_nmse(*pair), FASTMRI_NMSE, rtol=1e-6)
    np.testing.assert_allclose(metrics.volume_psnr(*pair), FASTMRI_PSNR, rtol=1e-6)
    np.testing.assert_allclose(metrics.volume_ssim(*pair), FASTMRI_SSIM, atol=1e-6)


def test_slice_values_are_fastmri_s(pair):
    volume_max, slice_max = pair[0].max(), pair[0].max(axis=(1, 2))
    ssim = metrics.ssim(*pair, data_range=volume_max)
    np.testing.assert_allclose(ssim, SLICE_SSIM_VOLUME_MAX, atol=1e-6)
    ssim = metrics.ssim(*pair, data_range=slice_max)
    np.testing.assert_allclose(ssim, SLICE_SSIM_SLICE_MAX, atol=1e-6)
    psnr = metrics.psnr(*pair, data_range=volume_max)
    np.testing.assert_allclose(psnr, SLICE_PSNR_VOLUME_MAX, rtol=1e-6)


@pytest.mark.parametrize("units", [1.0, 1e-5, 1e4])
@pytest.mark.parametrize("shape", [(7, 7), (16, 21), (33, 16)])
def test_slices_match_scikit_image(shape, units):
    rng = np.random.default_rng(0)
    target = rng.random((2, *shape))
    image = target + 0.1 * rng.standard_normal((2, *shape))
    target, image = units * target, units * np.abs(image)
    ranges = target.max(axis=(1, 2))
    want = np.array(
        [
            (
                skimage.mean_squared_error(t, x),
                skimage.normalized_root_mse(t, x) ** 2,
                skimage.peak_signal_noise_ratio(t, x, data_range=r),
                skimage.structural_similarity(t, x, data_range=r),
            )
            for t, x, r in zip(target, image, ranges)
        ]
    ).T
    np.testing.assert_allclose(metrics.mse(target, image), want[0], rtol=1e-6)
    np.testing.assert_allclose(metrics.nmse(target, image), want[1], rtol=1e-6)
    np.testing.assert_allclose(metrics.psnr(target, image, data_range=ranges), want[2], rtol=1e-6)
    np.testing.assert_allclose(metrics.ssim(target, image, data_range=ranges), want[3], atol=1e-6)


def test_equal_images_are_perfect(key):
    x = jax.random.uniform(key, (2, 9, 11))
    np.testing.assert_array_equal(metrics.mse(x, x), 0)
    np.testing.assert_array_equal(metrics.psnr(x, x, data_range=1.0), np.inf)
    np.testing.assert_allclose(metrics.ssim(x, x, data_range=1.0), 1, atol=1e-6)


def test_data_range_per_slice_is_a_loop_over_slices(key):
    target, image = jax.random.uniform(key, (2, 2, 3, 9, 8))
    ranges = target.max(axis=(-2, -1))
    got = metrics.ssim(target, image, data_range=ranges)
    assert got.shape == (2, 3)
    one = metrics.ssim(target[1, 2], image[1, 2], data_range=ranges[1, 2])
    np.testing.assert_allclose(got[1, 2], one, atol=1e-6)


def test_ssim_is_a_loss(key):
    target, image = jax.random.uniform(key, (2, 1, 12, 12))
    grad = jax.grad(lambda x: metrics.ssim(target, x, data_range=1.0).sum())(image)
    assert jnp.all(jnp.isfinite(grad)) and jnp.any(grad != 0)


@pytest.mark.parametrize(
    ("target", "image", "message"),
    [
        (np.ones((8, 8)), np.ones((8, 9)), "one shape"),
        (np.ones(8), np.ones(8), "one shape"),
        (np.ones((8, 8)), np.ones((8, 8), np.complex64), "real magnitudes"),
        (np.ones((6, 8)), np.ones((6, 8)), "at least 7"),
    ],
)
def test_wrong_images_are_refused(target, image, message):
    with pytest.raises(ValueError, match=message):
        metrics.ssim(target, image, data_range=1.0)


def test_a_volume_has_three_axes():
    with pytest.raises(ValueError, match=r"\(S, H, W\)"):
        metrics.volume_nmse(np.ones((8, 8)), np.ones((8, 8)))
