"""The readers on real MRI."""

import numpy as np
import pytest

from jaxnas.data.arrays import ArraySource
from jaxnas.data.check import check
from jaxnas.data.coils import combine, estimate_maps, expand
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.make import write_volume
from jaxnas.data.transforms import ifft2c
from jaxnas.data.views import Cropped

pytestmark = pytest.mark.real_data


def test_siat_volumes(real_data):
    source = FastMRISource(real_data / "siat")
    assert len(source.volumes) == 15 and len(source.slices) == 150
    assert {(ref.shape, ref.coils, ref.masked) for ref in source.slices} == {((270, 256), 1, False)}
    for i in range(0, 150, 7):
        item = source.read(i)
        np.testing.assert_allclose(np.abs(ifft2c(item.kspace)), item.target, atol=2e-3)
        assert item.max == pytest.approx(1, abs=1e-3)
    cropped = Cropped(source, 256).read(3)
    np.testing.assert_allclose(np.abs(ifft2c(cropped.kspace)), cropped.target, atol=2e-3)


def test_siat_passes_the_check(real_data):
    assert check(real_data / "siat" / "siat_s1_axial.h5") == []


def test_round_trip(real_data, tmp_path):
    source = FastMRISource(real_data / "siat" / "siat_s2_coronal.h5")
    kspace = np.stack([source.read(i).kspace for i in range(3)])
    write_volume(tmp_path / "copy.h5", kspace, image_size=(270, 256), acquisition="AXT2")
    copy = FastMRISource(tmp_path)
    for i in range(3):
        item = copy.read(i)
        np.testing.assert_array_equal(item.kspace, kspace[i])
        np.testing.assert_allclose(item.target, source.read(i).target, atol=2e-3)


def test_brain_of_eight_coils(real_data):
    path = real_data / "brain8ch" / "brain8ch.npz"
    item = ArraySource(path, axes="CHW", sens="sens").read(0)
    assert item.kspace.shape == item.sens.shape == (8, 180, 230)
    with np.load(path) as file:
        image, support = file["image"], file["support"]
    combined = combine(item.kspace, item.sens)
    np.testing.assert_allclose(combined[support], image[support], atol=1e-4 * np.abs(image).max())


def test_estimated_maps_explain_a_real_brain(real_data):
    item = ArraySource(real_data / "brain8ch" / "brain8ch.npz", axes="CHW").read(0)
    sens = estimate_maps(item.kspace, columns=18)
    left = item.kspace - expand(combine(item.kspace, sens), sens)
    # Noise is most of it: the ESPIRiT maps of the file leave 0.109.
    assert np.linalg.norm(left) < 0.12 * np.linalg.norm(item.kspace)


def test_magnitude_volumes(real_data):
    path = real_data / "magnitude" / "aera15t.npz"
    source = ArraySource(path, domain="magnitude", dataset="flair_ax")
    assert len(source.slices) == 30 and source.slices[0].shape == (320, 270)
    with np.load(path) as file:
        want = file["flair_ax"][18].astype(np.float32)
    image = ifft2c(source.read(18).kspace)
    np.testing.assert_allclose(np.abs(image), want, atol=1e-3 * want.max())
