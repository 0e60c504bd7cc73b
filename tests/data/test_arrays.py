"""The array reader: formats, axes, domains and coil maps."""

import h5py
import numpy as np
import pytest

from jaxnas.data.arrays import ArraySource
from jaxnas.data.coils import coil_maps
from jaxnas.data.transforms import fft2c, ifft2c

SIZES = {"S": 2, "C": 3, "H": 9, "W": 8}


def volume(axes, seed=0):
    re, im = np.random.default_rng(seed).normal(size=(2, *(SIZES[a] for a in axes)))
    return (re + 1j * im).astype(np.complex64)


def save(path, **arrays):
    if path.suffix == ".npy":
        np.save(path, next(iter(arrays.values())))
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            file.update(arrays)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
@pytest.mark.parametrize("axes", ["SHW", "SCHW", "HW", "CHW", "HWS", "WHSC"])
def test_formats_and_axes(tmp_path, suffix, axes):
    array = volume(axes)
    source = ArraySource(save(tmp_path / f"a{suffix}", kspace=array), axes=axes)
    assert len(source.slices) == (2 if "S" in axes else 1)
    last = len(source.slices) - 1
    ref, item = source.slices[last], source.read(last)
    letters = [a for a in "SCHW" if a in axes]
    want = array.transpose([axes.index(a) for a in letters])
    np.testing.assert_array_equal(item.kspace, want[last] if "S" in axes else want)
    assert (ref.shape, ref.coils) == ((9, 8), 3 if "C" in axes else 1)
    assert (item.volume, item.index) == (f"a{suffix}", last) == ref[:2]


def test_default_axes_follow_the_rank(tmp_path):
    for axes in ("HW", "SHW", "SCHW"):
        path = save(tmp_path / f"{axes}.npy", kspace=volume(axes))
        assert ArraySource(path).slices == ArraySource(path, axes=axes).slices


def test_complex_images(tmp_path):
    image = volume("SHW")
    source = ArraySource(save(tmp_path / "a.npz", x=image), domain="image", dataset="x")
    np.testing.assert_allclose(source.read(1).kspace, fft2c(image[1]), atol=1e-6)


def test_magnitude_images_get_a_fixed_smooth_phase(tmp_path):
    magnitude = np.abs(volume("SHW"))
    source = ArraySource(save(tmp_path / "a.npy", x=magnitude), domain="magnitude")
    images = [ifft2c(source.read(i).kspace) for i in (0, 1)]
    for image, want in zip(images, magnitude):
        np.testing.assert_allclose(np.abs(image), want, atol=1e-5)
    phases = [image / np.abs(image) for image in images]
    np.testing.assert_allclose(phases[0], phases[1], atol=1e-3)
    assert np.std(phases[0]) > 0.05
    np.testing.assert_array_equal(source.read(0).kspace, source.read(0).kspace)


def test_coil_maps_of_the_file(tmp_path):
    sens = coil_maps((9, 8), coils=3, seed=0)
    image = volume("SHW")
    kspace = fft2c(sens * image[:, None])
    path = save(tmp_path / "a.npz", kspace=kspace, image=image, sens=sens)
    for domain in ("kspace", "image"):
        source = ArraySource(path, domain=domain, sens="sens")
        item = source.read(1)
        np.testing.assert_array_equal(item.sens, sens)
        np.testing.assert_allclose(item.kspace, kspace[1], atol=1e-5)
        assert source.slices[1].coils == 3


def test_one_slice_of_many_coils(tmp_path):
    path = save(tmp_path / "a.npz", kspace=volume("CHW"), sens=volume("CHW", 1))
    source = ArraySource(path, axes="CHW", sens="sens")
    assert source.read(0).kspace.shape == source.read(0).sens.shape == (3, 9, 8)


def test_an_unknown_domain_is_a_programmer_error(tmp_path):
    with pytest.raises(ValueError, match="expected a domain among"):
        ArraySource(tmp_path, domain="phase")
