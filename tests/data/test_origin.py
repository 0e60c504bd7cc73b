"""K-space with the zero frequency in the corner: noticed, and read with the right option."""

import h5py
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.arrays import ArraySource
from jaxnas.data.check import check_source
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.open import check_fields
from jaxnas.data.section import DataConfig
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.transforms import IMAGE_AXES, misplaced_axes
from jaxnas.data.views import FullySampled

READERS = {"fastmri": FastMRISource, "arrays": ArraySource}
SHAPES = [(32, 28), (31, 29), (32, 27)]


def kspace_of(coils, shape):
    source = SyntheticSource(volumes=1, slices=2, size=shape, coils=coils)
    return np.stack([source.read(i).kspace for i in range(2)])


def write(path, kspace, **more):
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        for name, values in more.items():
            file[name] = values
    return path


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_corner_is_noticed_and_read(tmp_path, capsys, reader, coils, shape):
    kspace = kspace_of(coils, shape)
    path = write(tmp_path / "v.h5", np.fft.ifftshift(kspace, IMAGE_AXES))
    (problem,) = check_source(path, reader=reader)
    assert not problem.certain and "--origin corner" in problem.message
    FullySampled(reader(path)).check({"v.h5"})
    assert "data.origin: corner" in capsys.readouterr().err
    source = reader(path, origin="corner")
    np.testing.assert_array_equal(source.read(1).kspace, kspace[1])
    assert not check_source(path, reader=lambda file: reader(file, origin="corner"))


@pytest.mark.parametrize("mask", ["columns", "samples"])
def test_the_mask_moves_too(tmp_path, mask):
    kspace = kspace_of(1, (32, 29))
    measured = np.arange(29) % 4 == 0
    measured[12:17] = True
    if mask == "samples":
        measured = measured & (np.arange(32) % 3 < 2)[:, None]
    axes = IMAGE_AXES[-measured.ndim :]
    stored = np.fft.ifftshift(measured, axes)
    path = write(tmp_path / "v.h5", np.fft.ifftshift(kspace * measured, IMAGE_AXES), mask=stored)
    np.testing.assert_array_equal(FastMRISource(path, origin="corner").read(0).mask, measured)


@pytest.mark.parametrize("axis", [0, 1])
def test_one_axis(axis):
    kspace = np.fft.ifftshift(kspace_of(2, (32, 29))[0], IMAGE_AXES[axis])
    assert misplaced_axes(kspace) == (("rows", "columns")[axis],)


@pytest.mark.parametrize("coils", [1, 4])
def test_what_is_centred_noise_or_a_little_off_is_not_said(coils):
    kspace = kspace_of(coils, (32, 40))[0]
    assert misplaced_axes(np.roll(kspace, (4, -3), IMAGE_AXES)) == ()
    assert misplaced_axes(kspace * np.float32(1e30)) == ()
    assert misplaced_axes(np.random.default_rng(0).normal(size=kspace.shape)) == ()
    assert misplaced_axes(np.zeros((8, 8))) == ()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"source": "cc359"}, "data.origin: is 'corner', but data.source is 'cc359'"),
        ({"source": "arrays", "domain": "image"}, "data.origin: is .* data.domain is 'image'"),
    ],
)
def test_where_the_layout_fixes_it(section, message):
    with pytest.raises(UserError, match=message):
        check_fields(DataConfig(path="data", origin="corner", **section))
