"""Estimated coil maps against the true ones."""

import numpy as np
import pytest

from jaxnas.data.coils import (
    coil_maps,
    column_window,
    combine,
    ellipse_window,
    estimate_maps,
    expand,
    smooth_phase,
)
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.transforms import fft2c


@pytest.mark.parametrize("shape", [(24, 24), (25, 22)])
def test_combine_inverts_expand(shape):
    sens = coil_maps(shape, coils=4, seed=0)
    re, im = np.random.default_rng(0).normal(size=(2, *shape))
    image = (re + 1j * im).astype(np.complex64)
    np.testing.assert_allclose(combine(expand(image, sens), sens), image, atol=1e-5)


@pytest.mark.parametrize("window", [column_window((128, 128), 12), ellipse_window((128, 128), 0.2)])
def test_estimated_maps_span_the_coil_images(window):
    item = SyntheticSource(volumes=1, slices=1, size=128, coils=6).read(0)
    sens = estimate_maps(item.kspace, window)
    power = np.sum(np.abs(sens) ** 2, axis=0)
    np.testing.assert_allclose(power, 1, atol=1e-5)
    # What the maps cannot explain of the coil images, relative to them.
    left = item.kspace - expand(combine(item.kspace, sens), sens)
    assert np.linalg.norm(left) < 0.07 * np.linalg.norm(item.kspace)


def test_no_signal_gives_no_nan():
    assert np.isfinite(
        estimate_maps(np.zeros((2, 16, 16), np.complex64), column_window((16, 16), 4))
    ).all()


def test_smooth_phase_is_a_phase():
    phase = smooth_phase((32, 30), seed=0)
    np.testing.assert_allclose(np.abs(phase), 1, atol=1e-6)
    energy = np.abs(fft2c(phase)) ** 2
    assert energy[12:21, 11:20].sum() > 0.95 * energy.sum(), "low frequencies only"
