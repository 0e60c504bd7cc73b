"""The readers on real MRI."""

import nibabel
import numpy as np
import pytest

from jaxnas.data.arrays import ArraySource
from jaxnas.data.check import check_source
from jaxnas.data.coils import column_window, combine_coils, estimate_maps, expand_coils
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.make import write_volume
from jaxnas.data.source import volume_names
from jaxnas.data.splits import volume_labels
from jaxnas.data.transforms import centered_ifft2
from jaxnas.data.views import Calibrated, CoilCombined, Cropped, Padded

pytestmark = pytest.mark.real_data


def test_siat_volumes(real_data):
    source = FastMRISource(real_data / "siat")
    assert len(source.volumes) == 15 and len(source.slices) == 150
    assert {(ref.shape, ref.coils, ref.masked) for ref in source.slices} == {((270, 256), 1, False)}
    for i in range(0, 150, 7):
        item = source.read(i)
        np.testing.assert_allclose(np.abs(centered_ifft2(item.kspace)), item.target, atol=2e-3)
        assert item.max == pytest.approx(1, abs=1e-3)
    cropped = Cropped(source, 256).read(3)
    np.testing.assert_allclose(np.abs(centered_ifft2(cropped.kspace)), cropped.target, atol=2e-3)


def test_siat_passes_the_check(real_data):
    assert check_source(real_data / "siat" / "siat_s1_axial.h5") == []


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
    combined = combine_coils(item.kspace, item.sens)
    np.testing.assert_allclose(combined[support], image[support], atol=1e-4 * np.abs(image).max())


def test_estimated_maps_explain_a_real_brain(real_data):
    item = ArraySource(real_data / "brain8ch" / "brain8ch.npz", axes="CHW").read(0)
    sens = estimate_maps(item.kspace, column_window(item.kspace.shape[-2:], 18))
    left = item.kspace - expand_coils(combine_coils(item.kspace, sens), sens)
    # Noise is most of it: the ESPIRiT maps of the file leave 0.109.
    assert np.linalg.norm(left) < 0.12 * np.linalg.norm(item.kspace)


def test_magnitude_volumes(real_data):
    path = real_data / "magnitude" / "aera15t.npz"
    source = ArraySource(path, domain="magnitude", dataset="flair_ax")
    assert len(source.slices) == 30 and source.slices[0].shape == (320, 270)
    with np.load(path) as file:
        want = file["flair_ax"][18].astype(np.float32)
    image = centered_ifft2(source.read(18).kspace)
    np.testing.assert_allclose(np.abs(image), want, atol=1e-3 * want.max())


def test_every_magnitude_volume(real_data):
    source = ArraySource(real_data / "magnitude", domain="magnitude", dataset="*")
    shapes = {ref.volume: (ref.index + 1, ref.shape) for ref in source.slices}
    assert shapes == {
        "aera15t.npz:flair_ax": (30, (320, 270)),
        "aera15t.npz:t2star_ax": (10, (512, 448)),
        "aera15t.npz:tof_ax": (14, (512, 512)),
        "chris_PD.nii.gz": (54, (256, 191)),
        "chris_t1.nii.gz": (190, (256, 188)),
    }
    by = r"(flair|t2star|tof|PD|t1)"
    assert list(volume_labels(source, by).values()) == ["flair", "t2star", "tof", "PD", "t1"]
    for name in volume_names(source)[3:]:
        image = nibabel.load(real_data / "magnitude" / name)
        assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S"), "rows run to the front"
        voxels = np.asanyarray(image.dataobj)
        i = next(i for i, ref in enumerate(source.slices) if ref[:2] == (name, 30))
        shown = np.abs(centered_ifft2(source.read(i).kspace))
        np.testing.assert_allclose(shown, voxels[:, :, 30].T.astype(float), atol=0.05)


def test_padded_magnitude_volume(real_data):
    source = ArraySource(real_data / "magnitude" / "chris_t1.nii.gz", domain="magnitude")
    item = Padded(source, 256).read(95)
    image, whole = (
        np.abs(centered_ifft2(item.kspace)),
        np.abs(centered_ifft2(source.read(95).kspace)),
    )
    np.testing.assert_allclose(image[:, 34:222], whole, atol=0.05)
    assert image[:, :34].max() < 0.05 and image[:, 222:].max() < 0.05


def test_a_brain_of_eight_coils_combined(real_data):
    path = real_data / "brain8ch" / "brain8ch.npz"
    with np.load(path) as file:
        image, support = np.abs(file["image"]), file["support"]
    source = CoilCombined(Calibrated(ArraySource(path, axes="CHW"), fraction=0.08))
    found = np.abs(centered_ifft2(source.read(0).kspace))
    difference = (found - image)[support]
    assert np.linalg.norm(difference) < 0.02 * np.linalg.norm(image[support])
