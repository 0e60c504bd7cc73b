"""Estimated coil maps against the true ones."""

import h5py
import numpy as np
import pytest

from jaxnas.data.arrays import ArraySource
from jaxnas.data.coils import (
    coil_maps,
    column_window,
    combine_coils,
    ellipse_window,
    estimate_maps,
    expand_coils,
    smooth_phase,
    unit_maps,
)
from jaxnas.data.modl_brain import ModlBrainSource
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.transforms import centered_fft2


@pytest.mark.parametrize("shape", [(24, 24), (25, 22)])
def test_combine_inverts_expand(shape):
    sens = coil_maps(shape, coils=4, seed=0)
    re, im = np.random.default_rng(0).normal(size=(2, *shape))
    image = (re + 1j * im).astype(np.complex64)
    np.testing.assert_allclose(combine_coils(expand_coils(image, sens), sens), image, atol=1e-5)


@pytest.mark.parametrize("window", [column_window((128, 128), 12), ellipse_window((128, 128), 0.2)])
def test_estimated_maps_span_the_coil_images(window):
    item = SyntheticSource(volumes=1, slices=1, size=128, coils=6).read(0)
    sens = estimate_maps(item.kspace, window)
    power = np.sum(np.abs(sens) ** 2, axis=0)
    np.testing.assert_allclose(power, 1, atol=1e-5)
    # What the maps cannot explain of the coil images, relative to them.
    left = item.kspace - expand_coils(combine_coils(item.kspace, sens), sens)
    assert np.linalg.norm(left) < 0.07 * np.linalg.norm(item.kspace)


def test_no_signal_gives_no_nan():
    assert np.isfinite(
        estimate_maps(np.zeros((2, 16, 16), np.complex64), column_window((16, 16), 4))
    ).all()


def test_smooth_phase_is_a_phase():
    phase = smooth_phase((32, 30), seed=0)
    np.testing.assert_allclose(np.abs(phase), 1, atol=1e-6)
    energy = np.abs(centered_fft2(phase)) ** 2
    assert energy[12:21, 11:20].sum() > 0.95 * energy.sum(), "low frequencies only"


@pytest.mark.parametrize("factor", [3.0, 1e-20, 1e30, "largest 1", "shaded"])
def test_maps_of_another_normalisation_are_those_of_sum_one(tmp_path, capsys, factor):
    """In files of plain arrays and of MoDL-Brain, said once for a source, zero where zero."""
    unit = coil_maps((16, 14), coils=4, seed=0)
    unit[:, :, :3] = 0
    scaled = {
        "largest 1": lambda m: m / np.abs(m).max(),
        "shaded": lambda m: m * np.linspace(0.5, 2, 14, dtype=np.float32),
    }.get(factor, lambda m: m * np.float32(factor))(unit)
    image = np.ones((3, 16, 14), np.complex64)
    kspace = np.stack([expand_coils(x, unit) for x in image])
    np.savez(tmp_path / "a.npz", kspace=kspace, image=image, sens=scaled)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["trnOrg"], file["trnCsm"] = image, np.stack([scaled] * 3)
        file["trnMask"] = np.ones((3, 16, 14), np.int8)
    sources = [
        ArraySource(tmp_path / "a.npz", sens="sens"),
        ArraySource(tmp_path / "a.npz", domain="image", sens="sens"),
        ModlBrainSource(tmp_path / "m.h5"),
    ]
    for source in sources:
        for item in map(source.read, range(3)):
            np.testing.assert_allclose(item.sens, unit, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(item.kspace, kspace[0], rtol=1e-4, atol=1e-4)
            assert not item.sens[:, :, :3].any()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all("coil maps are not of Σ|s|² = 1" in line for line in said)


def test_unit_maps_are_returned_as_they_are(capsys):
    maps = coil_maps((16, 14), coils=4, seed=0)
    assert unit_maps(maps, where="here") is maps
    assert capsys.readouterr().err == ""


def test_estimates_of_any_magnitude():
    kspace = expand_coils(np.ones((16, 14), np.complex64), coil_maps((16, 14), coils=4, seed=0))
    window = column_window((16, 14), 6)
    for factor in (1e30, 1e-30):
        found = estimate_maps(kspace * np.float32(factor), window)
        np.testing.assert_allclose(found, estimate_maps(kspace, window), atol=1e-5)
