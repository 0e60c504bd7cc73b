"""Empty, padded, dead, masked, undersampled: told apart alike in files of every reader."""

import h5py
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.arrays import ArraySource
from jaxnas.data.cc359 import CC359Source, encoded_columns
from jaxnas.data.check import check_source
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.views import FullySampled, check_fully_sampled
from tests.data.clear import assert_one_clear_sentence

SHAPES = [(32, 40), (31, 37)]


def lines(n, *empty):
    """All of n lines but slices of them."""
    line = np.ones(n, bool)
    for part in empty:
        line[part] = False
    return line


def every(n, r, low):
    line = np.arange(n) % r == 0
    line[(n - low) // 2 : (n + low) // 2 + 1] = True
    return line


def columns(line):
    return lambda h, w: np.broadcast_to(line(w), (h, w))


def rows(line):
    return lambda h, w: np.broadcast_to(line(h)[:, None], (h, w))


def ellipse(h, w):
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    return x**2 + y**2 <= 1


def scattered(share):
    def plane(h, w):
        mask = np.random.default_rng(0).uniform(size=(h, w)) < share
        mask[h // 2 - 2 : h // 2 + 3, w // 2 - 2 : w // 2 + 3] = True
        return mask

    return plane


WHOLE = {
    "whole": columns(lambda n: lines(n)),
    "left empty": columns(lambda n: lines(n, np.s_[:6])),
    "sides empty": columns(lambda n: lines(n, np.s_[:6], np.s_[-5:])),
    "partial Fourier, right": columns(lambda n: lines(n, np.s_[3 * n // 4 :])),
    "partial Fourier, left": columns(lambda n: lines(n, np.s_[: 3 * n // 8])),
    "one dead column": columns(lambda n: lines(n, n // 2 + 5)),
    "dead columns, centre too": columns(lambda n: lines(n, 3, n // 2, n - 4)),
    "dead column beside empty sides": columns(lambda n: lines(n, np.s_[:5], 9)),
    "short readout": rows(lambda n: lines(n, np.s_[: n // 4])),
    "dead row": rows(lambda n: lines(n, n // 2 + 1)),
    "corners": ellipse,
}
UNDERSAMPLED = {
    "columns, 4": (columns(lambda n: every(n, 4, 5)), "columns"),
    "columns, 2": (columns(lambda n: every(n, 2, 8)), "columns"),
    "columns, half": (columns(lambda n: every(n, 4, 5) & lines(n, np.s_[:6])), "columns"),
    "centre only": (columns(lambda n: ~lines(n, np.s_[n // 2 - 4 : n // 2 + 4])), "columns"),
    "without centre": (columns(lambda n: lines(n, np.s_[: n // 2 + 1])), "columns"),
    "rows, 4": (rows(lambda n: every(n, 4, 5)), "rows"),
    "plane, a fifth": (scattered(0.2), "samples"),
    "plane, three quarters": (scattered(0.75), "samples"),
}  # fmt: skip
MASKS = {  # what else fastMRI-like files hold: axes of other tools, and other ones
    "(W,)": lambda m, s: m,
    "(1, W, 1)": lambda m, s: m[None, :, None],
    "(S, W)": lambda m, s: np.broadcast_to(m, (s[0], s[-1])),
    "(H, W)": lambda m, s: np.broadcast_to(m, s[-2:]),
    "float": lambda m, s: m.astype(np.float32),
    "0/255": lambda m, s: (m * 255).astype(np.uint8),
}


def numbers(coils, shape):
    rng = np.random.default_rng(1)
    size = (3, coils, *shape) if coils > 1 else (3, *shape)
    return (rng.normal(size=size) + 1j * rng.normal(size=size)).astype(np.complex64)


def fastmri(path, kspace, **more):
    with h5py.File(path / "v.h5", "w") as file:
        file["kspace"] = kspace
        for name, values in more.items():
            file[name] = values
    return FastMRISource(path)


def arrays(path, kspace):
    np.savez(path / "v.npz", kspace=kspace)
    return ArraySource(path)


def cc359(path, kspace):
    planes = kspace if kspace.ndim == 4 else kspace[:, None]
    parts = np.moveaxis(np.stack([planes.real, planes.imag], axis=2), (1, 2), (-2, -1))
    with h5py.File(path / "v.h5", "w") as file:
        file["kspace"] = parts.reshape(*parts.shape[:3], -1)
    return CC359Source(path)


READERS = {"fastmri": fastmri, "arrays": arrays, "cc359": cc359}
every_reader = pytest.mark.parametrize("reader", READERS)
every_coil = pytest.mark.parametrize("coils", [1, 3])
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def problems(path, reader):
    suffixes = (".npz",) if reader == "arrays" else (".h5",)
    kinds = {"fastmri": FastMRISource, "arrays": ArraySource, "cc359": CC359Source}
    return check_source(path, reader=kinds[reader], suffixes=suffixes)


@every_reader
@every_coil
@every_shape
@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_scan_is_whole(tmp_path, reader, coils, shape, kind):
    """Its empty columns stay empty, an empty slice says nothing."""
    filled = WHOLE[kind](*shape)
    kspace = np.where(filled, numbers(coils, shape), 0)
    kspace[0] = 0
    source = FullySampled(READERS[reader](tmp_path, kspace))
    source.check({source.slices[0].volume})
    encoded = filled.any(axis=0)
    if reader == "cc359":
        encoded = encoded & (np.arange(shape[1]) < encoded_columns(shape[1]))
    np.testing.assert_array_equal(source.read(1).columns, encoded)
    assert source.read(0).mask is None
    assert not problems(tmp_path, reader)


@every_reader
@every_coil
@every_shape
@pytest.mark.parametrize("kind", UNDERSAMPLED)
def test_an_undersampled_scan_says_so_itself(tmp_path, reader, coils, shape, kind):
    pattern, what = UNDERSAMPLED[kind]
    filled = pattern(*shape)
    kspace = np.where(filled, numbers(coils, shape), 0)
    kspace[0] = 0
    source = READERS[reader](tmp_path, kspace)
    item = source.read(1)
    if reader == "cc359":
        filled = filled & (np.arange(shape[1]) < encoded_columns(shape[1]))
    np.testing.assert_array_equal(np.broadcast_to(item.sampled, shape), filled)
    assert not source.slices[1].masked and source.read(0).mask is None
    with pytest.raises(
        UserError, match=rf"though no mask says so: slice \d has .* {what} "
    ) as said:
        check_fully_sampled(FullySampled(source), {item.volume})
    assert_one_clear_sentence(str(said.value), item.volume)
    (problem,) = problems(tmp_path, reader)
    assert f" {what} " in problem.message
    assert_one_clear_sentence(problem.message, problem.path)


@every_coil
@pytest.mark.parametrize("kind", MASKS)
def test_masks_of_other_tools(tmp_path, coils, kind):
    kspace, mask = numbers(coils, (32, 40)), every(40, 4, 5)
    source = fastmri(tmp_path, kspace * mask, mask=MASKS[kind](mask, kspace.shape))
    np.testing.assert_array_equal(source.read(0).mask, mask)
    assert source.slices[0].masked and not problems(tmp_path, "fastmri")
    with pytest.raises(UserError, match=r"'v\.h5' is undersampled already: a mask says so"):
        FullySampled(source).check({"v.h5"})


def test_a_mask_of_samples(tmp_path):
    kspace, mask = numbers(1, (32, 40)), scattered(0.2)(32, 40)
    item = fastmri(tmp_path, kspace * mask, mask=mask).read(1)
    np.testing.assert_array_equal(item.mask, mask)


def test_a_mask_of_everything_is_none(tmp_path):
    source = fastmri(tmp_path, numbers(1, (32, 40)), mask=np.ones(40, np.uint8))
    assert not source.slices[0].masked and source.read(0).mask is None


@every_coil
@pytest.mark.parametrize("wrong", [np.logical_not, np.fft.fftshift, lambda m: np.roll(m, 1)])
@pytest.mark.parametrize("plane", [False, True])
def test_a_mask_of_another_scan_is_refused(tmp_path, coils, wrong, plane):
    mask = scattered(0.2)(32, 40) if plane else every(40, 4, 5)
    source = fastmri(tmp_path, numbers(coils, (32, 40)) * mask, mask=wrong(mask))
    with pytest.raises(UserError, match=r"is zero in .* of what the mask of slice 2 says") as said:
        source.read(2)
    assert_one_clear_sentence(str(said.value), tmp_path / "v.h5")


def test_a_mask_may_name_padding_and_a_lost_column(tmp_path):
    kspace, mask = numbers(1, (32, 40)), every(40, 4, 5)
    kspace[..., :9] = 0
    kspace[..., 28] = 0
    item = fastmri(tmp_path, kspace * mask, mask=mask).read(0)
    np.testing.assert_array_equal(item.mask, mask & lines(40, np.s_[:9], 28))


def test_a_volume_of_nothing_is_refused(tmp_path):
    source = FullySampled(arrays(tmp_path, np.zeros((3, 8, 8), np.complex64)))
    with pytest.raises(UserError, match=r"'v\.npz': k-space is zero in all of its 3 slices"):
        source.check({"v.npz"})
    (problem,) = problems(tmp_path, "arrays")
    assert "zero in all slices" in problem.message


def test_only_volumes_in_use_are_looked_at(tmp_path):
    source = FullySampled(arrays(tmp_path, np.zeros((3, 8, 8), np.complex64)))
    source.check({"another"})


def test_images_are_whole_whatever_their_k_space(tmp_path):
    np.savez(tmp_path / "v.npz", image=np.ones((1, 8, 8), np.complex64))
    source = FullySampled(ArraySource(tmp_path, domain="image"))
    source.check({"v.npz"})
    assert source.read(0).columns.all()
