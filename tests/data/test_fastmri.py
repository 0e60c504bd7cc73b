"""The reader on files of the true layout: both coil kinds, odd sizes, padding, test sets."""

import h5py
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.check import summarise_volumes
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.make import make_dataset
from jaxnas.data.source import Source, volume_names
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.transforms import center_crop, centered_ifft2
from jaxnas.data.views import Cropped


def every_third(name, columns):
    """A test-set mask: every third column and the central five."""
    mask = np.arange(columns) % 3 == len(name) % 3
    mask[columns // 2 - 2 : columns // 2 + 3] = True
    return mask


@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize("size", [(24, 20), (23, 19)])
@pytest.mark.parametrize("oversampling", [1, 2])
def test_reads_what_was_written(tmp_path, coils, size, oversampling):
    synthetic = SyntheticSource(volumes=2, slices=3, size=size, coils=coils, seed=1)
    paths = make_dataset(tmp_path, synthetic, oversampling=oversampling)
    source = FastMRISource(tmp_path)
    assert isinstance(source, Source)
    assert volume_names(source) == tuple(path.name for path in paths)
    assert len(source.slices) == 6
    for i, ref in enumerate(source.slices):
        assert ref == (paths[i // 3].name, i % 3, (oversampling * size[0], size[1]), coils, False)
        item = source.read(i)
        coil_axis = () if coils == 1 else (coils,)
        assert item.kspace.shape == (*coil_axis, *ref.shape)
        assert item.kspace.dtype == np.complex64
        assert item.mask is None and item.sens is None and item.columns.all()
        image = np.abs(centered_ifft2(item.kspace))
        rss = image if coils == 1 else np.sqrt(np.sum(image**2, axis=0))
        np.testing.assert_allclose(item.target, center_crop(rss, size), atol=1e-5)
        assert item.target.dtype == np.float32
        # The oversampled field of view is empty: cropping gives the original k-space back.
        original = synthetic.read(i).kspace
        np.testing.assert_allclose(Cropped(source, size).read(i).kspace, original, atol=1e-5)
    assert source.read(0).max == pytest.approx(max(source.read(i).target.max() for i in range(3)))


def test_layout_on_disk(tmp_path):
    synthetic = SyntheticSource(volumes=3, slices=2, size=(24, 20), seed=1)
    path = make_dataset(tmp_path, synthetic)[2]
    with h5py.File(path) as file:
        names = {"kspace", "reconstruction_esc", "reconstruction_rss", "ismrmrd_header"}
        assert set(file) == names
        assert set(file.attrs) == {"acquisition", "max", "norm", "patient_id"}
        assert file.attrs["acquisition"] == "AXFLAIR"
        target = file["reconstruction_esc"][()]
        assert file.attrs["max"] == target.max()
        assert file.attrs["norm"] == pytest.approx(np.linalg.norm(target))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        row.volume for row in summarise_volumes(FastMRISource(tmp_path))
    )


@pytest.mark.parametrize("coils", [1, 2])
def test_masked_test_set(tmp_path, coils):
    synthetic = SyntheticSource(volumes=1, slices=2, size=(22, 21), coils=coils)
    make_dataset(tmp_path, synthetic, mask=every_third, oversampling=2, padding=2)
    source = FastMRISource(tmp_path)
    volume, item = source.volumes[0], source.read(1)
    assert source.slices[1].masked and item.target is None and item.max is None
    assert volume.attrs["num_low_frequency"] == 5 and volume.attrs["acceleration"] == 2
    assert volume.image_size == (22, 21)
    assert volume.padding == (2, 19)
    assert not item.mask[[0, 1, 19, 20]].any(), "padding is not measured"
    assert not item.kspace[..., ~item.mask].any()
    assert not np.signbit(item.kspace[..., ~item.mask].real).any(), "the sign must not leak"
    cropped = Cropped(source, 20)
    assert cropped.slices[1].shape == (20, 21), "a masked slice keeps its columns"
    assert not cropped.read(1).kspace[..., ~item.mask].any()


def test_padding(tmp_path):
    make_dataset(tmp_path, SyntheticSource(volumes=1, slices=1, size=(20, 21)), padding=3)
    source = FastMRISource(tmp_path)
    item = source.read(0)
    np.testing.assert_array_equal(np.flatnonzero(item.columns), np.arange(3, 18))
    assert not item.kspace[:, ~item.columns].any()
    assert Cropped(source, (18, 21)).read(0).columns.sum() == 15, "rows do not matter"
    assert Cropped(source, (18, 18)).read(0).columns.all(), "a new grid has no padding"


def test_no_header_and_mixed_files(tmp_path):
    make_dataset(tmp_path, SyntheticSource(volumes=1, slices=1, size=(24, 20)))
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["kspace"] = rng.normal(size=(2, 1, 17, 16)) + 0j  # complex128, one coil
    source = FastMRISource([tmp_path / "plain.h5", *tmp_path.glob("synthetic*")])
    rows = summarise_volumes(source)
    assert [row[1:5] for row in rows] == [(2, (17, 16), 1, False), (1, (24, 20), 1, False)]
    assert rows[0].labels == {} and rows[1].labels["contrast"] == "AXT1"
    item = source.read(1)
    assert item.kspace.shape == (17, 16) and item.kspace.dtype == np.complex64
    assert source.volumes[0].image_size is None and source.volumes[0].padding == (0, 16)
    assert source.read(2).volume == "synthetic_0000_T1.h5"


def test_a_crop_larger_than_one_volume_names_it(tmp_path):
    make_dataset(tmp_path, SyntheticSource(volumes=1, slices=1, size=(24, 20)))
    with pytest.raises(UserError, match=r"synthetic_0000_T1.h5: cannot crop 24×20 .* 22×22"):
        Cropped(FastMRISource(tmp_path), 22)


def test_equal_names_are_refused(tmp_path):
    for folder in ("a", "b"):
        make_dataset(tmp_path / folder, SyntheticSource(volumes=1, slices=1, size=16))
    with pytest.raises(UserError, match="same name as"):
        FastMRISource([tmp_path / "a", tmp_path / "b"])
