"""Written layouts: on disk what their descriptions say, and the same images when read."""

import h5py
import numpy as np
import pytest

from jaxnas.data.cc359 import CC359Source
from jaxnas.data.coils import combine_coils
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.modl_brain import ModlBrainSource
from jaxnas.data.registry import LAYOUTS
from jaxnas.data.source import volume_names
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.transforms import centered_ifft2

READERS = {
    "fastmri": FastMRISource,
    "modl_brain": ModlBrainSource,
    "cc359": CC359Source,
    "cc359_multi": CC359Source,
}


def made(coils, volumes=2, slices=2, size=(19, 20)):
    return SyntheticSource(volumes=volumes, slices=slices, size=size, coils=coils, seed=3)


def energy_near_centre(kspace):
    """The part of the energy within two samples of [9, 10]."""
    return np.sum(np.abs(kspace[7:12, 8:13]) ** 2) / np.sum(np.abs(kspace) ** 2)


@pytest.mark.parametrize(
    ("layout", "coils"),
    [("fastmri", 2), ("modl_brain", 3), ("modl_brain", 1), ("cc359", 1), ("cc359_multi", 2)],
)
def test_every_layout_reads_as_it_was(tmp_path, layout, coils):
    source = made(coils)
    paths = LAYOUTS[layout](tmp_path, source)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    read = READERS[layout](tmp_path)
    assert [ref[1:] for ref in read.slices] == [ref[1:] for ref in source.slices]
    for i in range(len(source.slices)):
        want, found = source.read(i), read.read(i)
        images = np.abs(centered_ifft2(want.kspace))
        if layout == "modl_brain" and coils > 1:  # it stores the combined image
            images = np.abs(combine_coils(want.kspace, want.sens) * want.sens)
        if layout == "cc359_multi":  # kz ends at 17 of 20 columns
            kspace = np.fft.fftshift(np.fft.fft2(centered_ifft2(want.kspace)), (-2, -1))
            images = np.abs(np.fft.ifft2(np.where(np.arange(20) < 17, kspace, 0)))
        np.testing.assert_allclose(np.abs(centered_ifft2(found.kspace)), images, atol=2e-5)


def test_modl_brain_on_disk(tmp_path):
    source = made(2, volumes=3)
    (path,) = LAYOUTS["modl_brain"](tmp_path, source)
    assert path.name == "dataset.hdf5"
    with h5py.File(path) as file:
        kinds = {name: (file[name].shape, file[name].dtype) for name in file}
        assert kinds == {
            "trnOrg": ((4, 19, 20), np.complex64),
            "trnCsm": ((4, 2, 19, 20), np.complex64),
            "trnMask": ((4, 19, 20), np.int8),
            "tstOrg": ((2, 19, 20), np.complex64),
            "tstCsm": ((2, 2, 19, 20), np.complex64),
            "tstMask": ((2, 19, 20), np.int8),
        }
        masks = file["trnMask"][()]
    assert set(np.unique(masks)) == {0, 1}
    np.testing.assert_array_equal(masks.sum(axis=(1, 2)), 380 // 6)
    assert (masks[0] != masks[1]).any()
    near = masks[:, [0, 1, -1]][:, :, [0, 1, -1]].mean()
    far = masks[:, 8:11, 8:11].mean()
    assert near > 2 * far, "zero frequency is at the corner"


def test_the_demo_has_no_training_set(tmp_path):
    (path,) = LAYOUTS["modl_brain"](tmp_path, made(1, volumes=1))
    with h5py.File(path) as file:
        assert sorted(file) == ["tstCsm", "tstMask", "tstOrg"]
    assert volume_names(ModlBrainSource(path)) == ("modl_test_0",)


def test_cc359_on_disk(tmp_path):
    source = made(1)
    path = LAYOUTS["cc359"](tmp_path, source)[1]
    array = np.load(path)
    assert array.shape == (2, 19, 20, 2) and array.dtype == np.float32
    # The authors' own way to an image.
    image = np.fft.ifft2((array[1, ..., 0] + 1j * array[1, ..., 1]) / np.sqrt(19 * 20))
    np.testing.assert_allclose(image, centered_ifft2(source.read(3).kspace), atol=1e-5)
    assert energy_near_centre(np.fft.fftshift(array[0, ..., 0])) > 0.5


def test_cc359_multi_on_disk(tmp_path):
    source = made(3)
    path = LAYOUTS["cc359_multi"](tmp_path, source)[0]
    with h5py.File(path) as file:
        assert list(file) == ["kspace"]
        kspace = file["kspace"][()]
    assert kspace.shape == (2, 19, 20, 6) and kspace.dtype == np.float32
    complex_ = kspace[1, ..., ::2] + 1j * kspace[1, ..., 1::2]
    images = np.moveaxis(np.abs(np.fft.ifft2(complex_, axes=(0, 1))), -1, 0)
    np.testing.assert_allclose(images, np.abs(centered_ifft2(source.read(1).kspace)), atol=1e-5)
    assert energy_near_centre(complex_[..., 0]) > 0.5
