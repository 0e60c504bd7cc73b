"""MoDL-Brain against its layout and its operator, both written out by hand."""

import h5py
import numpy as np
import pytest

from jaxnas.data.modl_brain import ModlBrainSource
from jaxnas.data.source import Source, labels_of, volume_names

SIZE = (17, 14)


def numbers(rng, *shape):
    re, im = rng.normal(size=(2, *shape))
    return (re + 1j * im).astype(np.complex64)


def group(prefix, slices, coils=3, size=SIZE, seed=0):
    """The datasets of one group, random."""
    rng = np.random.default_rng(seed)
    maps = numbers(rng, slices, coils, *size)
    if coils > 1:
        maps /= np.sqrt(np.sum(np.abs(maps) ** 2, axis=1, keepdims=True))
    return {
        f"{prefix}Org": numbers(rng, slices, *size),
        f"{prefix}Csm": maps,
        f"{prefix}Mask": (rng.uniform(size=(slices, *size)) < 0.3).astype(np.int8),
    }


def write(path, *groups):
    with h5py.File(path, "w") as file:
        for datasets in groups:
            file.update(datasets)
    return path


@pytest.mark.parametrize("size", [SIZE, (16, 18), (15, 15)])
def test_the_operator_of_the_file(tmp_path, size):
    """Our k-space under the file's mask is mask · fft2(s x) / √(H W), both taken to the centre."""
    data = group("tst", 2, size=size)
    source = ModlBrainSource(write(tmp_path / "a.hdf5", data))
    x, csm, mask = (data[f"tst{name}"][1] for name in ("Org", "Csm", "Mask"))
    ours = np.where(source.mask(1), source.read(1).kspace, 0)

    def operator(image, maps):
        return mask * np.fft.fft2(maps * image) / np.sqrt(size[0] * size[1])

    axes = (-2, -1)
    theirs = operator(np.fft.ifftshift(x), np.fft.ifftshift(csm, axes))
    np.testing.assert_allclose(ours, np.fft.fftshift(theirs, axes), atol=1e-5)
    # Without a shift of the image only the phase differs: exp(2πi f · (n // 2) / n) on each axis.
    unshifted = np.fft.fftshift(operator(x, csm), axes)
    for axis, n in zip(axes, size):
        turn = np.exp(2j * np.pi * np.fft.fftshift(np.fft.fftfreq(n)) * (n // 2))
        unshifted = unshifted * np.expand_dims(turn, 1 if axis == -2 else 0)
    np.testing.assert_allclose(ours, unshifted, atol=1e-5)
    assert source.mask(1).dtype == bool and source.mask(1).sum() == mask.sum() > 0


def test_slices(tmp_path):
    data = group("trn", 5)
    source = ModlBrainSource(write(tmp_path / "a.hdf5", data))
    assert isinstance(source, Source)
    assert source.slices[4] == ("modl_train_0", 4, SIZE, 3, False)
    item = source.read(4)
    assert (item.volume, item.index) == ("modl_train_0", 4)
    assert item.mask is None and item.columns.all()
    np.testing.assert_array_equal(item.sens, data["trnCsm"][4])
    assert item.kspace.dtype == item.sens.dtype == np.complex64
    axes = (-2, -1)
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(item.kspace, axes), norm="ortho"), axes)
    np.testing.assert_allclose(images, data["trnCsm"][4] * data["trnOrg"][4], atol=1e-5)


def test_subjects_of_ninety_slices(tmp_path):
    tiny = (4, 3)
    path = write(tmp_path / "a.hdf5", group("trn", 180, 1, tiny), group("tst", 91, 1, tiny))
    source = ModlBrainSource(path)
    names = ("modl_train_0", "modl_train_1", "modl_test_0")
    assert volume_names(source) == names
    assert [sum(ref.volume == name for ref in source.slices) for name in names] == [90, 90, 91]
    assert source.slices[90][:2] == ("modl_train_1", 0)
    assert source.slices[270][:2] == ("modl_test_0", 90)
    assert labels_of(source)["modl_train_1"] == {"subject": "modl_train_1"}
    # Slice 5 of the second subject is row 95 of the file.
    with h5py.File(path) as file:
        image = np.abs(file["trnOrg"][95] * file["trnCsm"][95, 0])
    axes = (-2, -1)
    kspace = np.fft.ifftshift(source.read(95).kspace, axes)
    found = np.abs(np.fft.fftshift(np.fft.ifft2(kspace, norm="ortho"), axes))
    np.testing.assert_allclose(found, image, atol=1e-5)


def test_the_demo_of_one_slice(tmp_path):
    source = ModlBrainSource(write(tmp_path / "demoImage.hdf5", group("tst", 1)))
    assert [ref[:2] for ref in source.slices] == [("modl_test_0", 0)]


def test_several_files_are_counted_through(tmp_path):
    write(tmp_path / "dataset.hdf5", group("trn", 2), group("tst", 2))
    write(tmp_path / "demoImage.hdf5", group("tst", 1, seed=9))
    source = ModlBrainSource(tmp_path)
    assert volume_names(source) == ("modl_train_0", "modl_test_0", "modl_test_1")
    again = ModlBrainSource(tmp_path / "demoImage.hdf5").read(0).kspace
    np.testing.assert_array_equal(source.read(4).kspace, again)


def test_subjects_of_several_files(tmp_path):
    write(tmp_path / "a.h5", group("trn", 180, 1, (4, 3)))
    write(tmp_path / "b.h5", group("trn", 90, 1, (4, 3)))
    names = volume_names(ModlBrainSource(tmp_path))
    assert names == ("modl_train_0", "modl_train_1", "modl_train_2")


def test_a_single_coil_has_no_coil_axis(tmp_path):
    data = group("tst", 1, coils=1)
    source = ModlBrainSource(write(tmp_path / "a.hdf5", data))
    item = source.read(0)
    assert item.kspace.shape == SIZE and item.sens is None and source.slices[0].coils == 1
