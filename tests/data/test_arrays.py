"""The array reader: formats, axes, domains and coil maps."""

import gzip

import h5py
import nibabel
import numpy as np
import pytest

from jaxnas.data.arrays import ArraySource
from jaxnas.data.coils import coil_maps
from jaxnas.data.source import volume_names
from jaxnas.data.transforms import centered_fft2, centered_ifft2

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
    np.testing.assert_allclose(source.read(1).kspace, centered_fft2(image[1]), atol=1e-6)


def test_magnitude_images_get_a_fixed_smooth_phase(tmp_path):
    magnitude = np.abs(volume("SHW"))
    source = ArraySource(save(tmp_path / "a.npy", x=magnitude), domain="magnitude")
    images = [centered_ifft2(source.read(i).kspace) for i in (0, 1)]
    for image, want in zip(images, magnitude):
        np.testing.assert_allclose(np.abs(image), want, atol=1e-5)
    phases = [image / np.abs(image) for image in images]
    np.testing.assert_allclose(phases[0], phases[1], atol=1e-3)
    assert np.std(phases[0]) > 0.05
    np.testing.assert_array_equal(source.read(0).kspace, source.read(0).kspace)


def test_coil_maps_of_the_file(tmp_path):
    sens = coil_maps((9, 8), coils=3, seed=0)
    image = volume("SHW")
    kspace = centered_fft2(sens * image[:, None])
    path = save(tmp_path / "a.npz", kspace=kspace, image=image, sens=sens)
    for domain in ("kspace", "image"):
        source = ArraySource(path, domain=domain, sens="sens")
        item = source.read(1)
        np.testing.assert_array_equal(item.sens, sens)
        np.testing.assert_allclose(item.kspace, kspace[1], atol=1e-5)
        assert source.slices[1].coils == 3


@pytest.mark.parametrize("domain", ["kspace", "image"])
def test_a_single_coil_with_a_map(tmp_path, domain):
    """Its map is part of the image, as there is nothing to combine."""
    arrays = {domain: volume("SHW"), "sens": volume("CHW")[:1]}
    source = ArraySource(save(tmp_path / "a.npz", **arrays), domain=domain, sens="sens")
    item = source.read(1)
    assert item.kspace.shape == (9, 8) and item.sens is None and source.slices[1].coils == 1
    values = arrays[domain][1]
    want = values if domain == "kspace" else centered_fft2(arrays["sens"][0] * values)
    np.testing.assert_allclose(item.kspace, want, atol=1e-5)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_every_array_is_a_volume(tmp_path, suffix):
    arrays = {"t2": volume("SHW"), "flair": volume("SHW", 1)[:1], "pd": volume("HW", 2)}
    path = save(tmp_path / f"a{suffix}", **arrays)
    source = ArraySource(path, dataset="*")
    names = [f"a{suffix}:{name}" for name in ("flair", "pd", "t2")]
    assert volume_names(source) == tuple(names)
    assert [ref[:2] for ref in source.slices] == [
        (names[0], 0),
        (names[1], 0),
        (names[2], 0),
        (names[2], 1),
    ]
    assert source.read(3).volume == names[2]
    np.testing.assert_array_equal(source.read(3).kspace, arrays["t2"][1])
    np.testing.assert_array_equal(source.read(1).kspace, arrays["pd"])
    assert source.labels[names[0]] == {"subject": f"a{suffix}"}


def test_every_array_but_the_maps(tmp_path):
    path = save(
        tmp_path / "a.npz",
        one=volume("SCHW"),
        two=volume("SCHW", 1),
        maps=coil_maps((9, 8), coils=3, seed=0),
    )
    source = ArraySource(path, dataset="*", sens="maps")
    assert volume_names(source) == ("a.npz:one", "a.npz:two")
    np.testing.assert_array_equal(
        source.read(2).sens, ArraySource(path, dataset="maps", axes="CHW").read(0).kspace
    )


def test_every_array_of_a_nested_file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["visit1/t1"] = volume("SHW")
        file["visit2/t1"] = volume("SHW", 1)
    source = ArraySource(tmp_path, dataset="*")
    assert volume_names(source) == ("a.h5:visit1/t1", "a.h5:visit2/t1")


def test_files_of_one_array_do_not_ask_for_its_name(tmp_path):
    save(tmp_path / "a.npy", x=volume("SHW"))
    save(tmp_path / "b.npz", x=volume("SHW"))
    assert volume_names(ArraySource(tmp_path, dataset="*")) == ("a.npy", "b.npz:x")


def nifti(path, voxels):
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, ">i2", np.float32, np.float64])
def test_nifti(tmp_path, suffix, dtype):
    voxels = np.random.default_rng(0).integers(0, 200, (14, 17, 3)).astype(dtype)
    nifti(tmp_path / f"head{suffix}", voxels)
    source = ArraySource(tmp_path, domain="magnitude")
    assert source.slices[2] == (f"head{suffix}", 2, (17, 14), 1, False)
    item = source.read(2)
    assert item.kspace.dtype == np.complex64
    image = np.abs(centered_ifft2(item.kspace))
    for x, y in ((3, 5), (13, 0), (0, 16)):
        assert image[y, x] == pytest.approx(float(voxels[x, y, 2]), abs=1e-3)
    np.testing.assert_allclose(image, voxels[..., 2].T.astype(float), atol=1e-3)


def test_nifti_is_scaled_as_its_header_says(tmp_path):
    voxels = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    path = nifti(tmp_path / "a.nii.gz", voxels)
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[112:120] = np.array([0.5, 2], "<f4").tobytes()  # scl_slope and scl_inter
    path.write_bytes(gzip.compress(raw))
    shown = np.abs(centered_ifft2(ArraySource(path, domain="magnitude").read(1).kspace))
    np.testing.assert_allclose(shown, 0.5 * voxels[..., 1].T + 2, atol=1e-4)


def test_nifti_of_other_shapes(tmp_path):
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(6, 5)).astype(np.float32) ** 2
    one = nifti(tmp_path / "flat.nii", flat[..., None, None])
    assert ArraySource(one, domain="magnitude").slices == (("flat.nii", 0, (5, 6), 1, False),)
    sagittal = nifti(tmp_path / "x.nii", rng.uniform(size=(3, 6, 5)).astype(np.float32))
    source = ArraySource(sagittal, domain="magnitude", axes="SWH")
    assert len(source.slices) == 3 and source.slices[0].shape == (5, 6)
    complex_ = nifti(tmp_path / "c.nii", volume("WHS"))
    np.testing.assert_allclose(
        centered_ifft2(ArraySource(complex_, domain="image").read(1).kspace),
        volume("WHS")[..., 1].T,
        atol=1e-5,
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("thick", [True, False])
def test_slices_of_nifti_lie_across_the_thick_axis(tmp_path, order, thick):
    voxels = np.random.default_rng(0).uniform(size=(6, 5, 3)).astype(np.float32)
    affine = np.diag([1.0, 1.2, 5.0 if thick else 1.2, 1.0])[:, [*order, 3]]
    nibabel.save(nibabel.Nifti1Image(voxels.transpose(order), affine), tmp_path / "a.nii")
    source = ArraySource(tmp_path / "a.nii", domain="magnitude")
    # Without thick ones the slices are the last axis; columns and rows are x before y before z.
    stored = voxels.transpose(order)
    want = voxels if thick else stored.swapaxes(0, 1) if order[0] > order[1] else stored
    shown = np.abs(centered_ifft2(source.read(1).kspace))
    np.testing.assert_allclose(shown, want[..., 1].T, atol=1e-5)


def test_one_slice_of_many_coils(tmp_path):
    path = save(tmp_path / "a.npz", kspace=volume("CHW"), sens=volume("CHW", 1))
    source = ArraySource(path, axes="CHW", sens="sens")
    assert source.read(0).kspace.shape == source.read(0).sens.shape == (3, 9, 8)


def test_an_unknown_domain_is_a_programmer_error(tmp_path):
    with pytest.raises(ValueError, match="expected a domain among"):
        ArraySource(tmp_path, domain="phase")
