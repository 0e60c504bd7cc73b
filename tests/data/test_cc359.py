"""CC359 of both kinds against its layout, written out by hand with plain numpy and h5py."""

import h5py
import numpy as np
import pytest

from jaxnas.data.cc359 import CC359Source, encoded_columns
from jaxnas.data.source import Source, labels_of, volume_names

AXES = (-2, -1)


def shown(kspace):
    """The image of centred, unitary k-space."""
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, AXES), norm="ortho"), AXES)


def single(path, slices=2, size=(17, 14), dtype=np.float32):
    raw = np.random.default_rng(len(path.name)).normal(size=(slices, *size, 2)).astype(dtype)
    np.save(path, raw)
    return raw[..., 0] + 1j * raw[..., 1]


def multi(path, slices=3, size=(17, 14), coils=3):
    raw = np.random.default_rng(0).normal(size=(slices, *size, 2 * coils)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["kspace"] = raw
    return raw


@pytest.mark.parametrize("size", [(17, 14), (16, 18), (15, 13), (8, 8)])
def test_single_channel(tmp_path, size):
    kspace = single(tmp_path / "e1.npy", size=size)
    source = CC359Source(tmp_path)
    assert isinstance(source, Source)
    assert source.slices == (("e1.npy", 0, size, 1, False), ("e1.npy", 1, size, 1, False))
    item = source.read(1)
    # As its authors: divide by √(H W), transform without any shift.
    want = np.fft.ifft2(kspace[1] / np.sqrt(size[0] * size[1]))
    np.testing.assert_allclose(shown(item.kspace), want, atol=1e-6)
    assert item.kspace.dtype == np.complex64 and item.sens is None
    assert item.encoded is None and item.columns.all()


def test_zero_frequency_of_a_single_channel_is_at_the_corner(tmp_path):
    raw = np.zeros((1, 7, 6, 2), np.float32)
    raw[0, 0, 0] = 3, 4
    np.save(tmp_path / "a.npy", raw)
    kspace = CC359Source(tmp_path).read(0).kspace
    assert np.argwhere(kspace).tolist() == [[3, 3]]
    np.testing.assert_allclose(kspace[3, 3], (3 + 4j) / 42, rtol=1e-6)


@pytest.mark.parametrize("size", [(17, 14), (16, 20), (15, 13)])
def test_multi_channel(tmp_path, size):
    raw = multi(tmp_path / "e1.h5", size=size)
    source = CC359Source(tmp_path)
    assert source.slices[2] == ("e1.h5", 2, size, 3, False)
    item = source.read(2)
    limit = int(np.ceil(0.85 * size[1]))
    for coil in range(3):
        kspace = raw[2, :, :, 2 * coil] + 1j * raw[2, :, :, 2 * coil + 1]
        kspace[:, limit:] = 0
        image = shown(item.kspace[coil])
        np.testing.assert_allclose(np.abs(image), np.abs(np.fft.ifft2(kspace)), atol=1e-6)
        # Its k-space is centred: without the checkerboard the phase is that of the image, too.
        want = np.fft.ifft2(np.fft.ifftshift(kspace))
        np.testing.assert_allclose(image, want, atol=1e-6)
        np.testing.assert_allclose(
            np.abs(item.kspace[coil]) * np.sqrt(kspace.size), np.abs(kspace), atol=1e-4
        )
    assert item.kspace.dtype == np.complex64
    assert not item.kspace[..., limit:].any()
    np.testing.assert_array_equal(item.columns, np.arange(size[1]) < limit)


@pytest.mark.parametrize(("width", "columns"), [(170, 145), (174, 148), (180, 153), (20, 17)])
def test_encoded_columns(width, columns):
    assert encoded_columns(width) == columns


def test_the_slices_of_the_challenge(tmp_path):
    raw = multi(tmp_path / "long.h5", slices=104, size=(4, 3), coils=1)
    multi(tmp_path / "short.h5", slices=100, size=(4, 3), coils=1)
    single(tmp_path / "whole.npy", slices=104, size=(4, 3))
    source = CC359Source(tmp_path)
    numbers = {
        name: [ref.index for ref in source.slices if ref.volume == name]
        for name in volume_names(source)
    }
    assert numbers == {
        "long.h5": [50, 51, 52, 53],
        "short.h5": list(range(100)),
        "whole.npy": list(range(104)),
    }
    want = np.abs(raw[51, ..., 0] + 1j * raw[51, ..., 1]) / np.sqrt(12)
    np.testing.assert_allclose(np.abs(source.read(1).kspace), want, atol=1e-6)
    assert source.read(1).kspace.shape == (4, 3), "one coil has no axis"
    assert [ref.index for ref in CC359Source(tmp_path / "long.h5", edge=51).slices] == [51, 52]
    assert len(CC359Source(tmp_path / "long.h5", edge=0).slices) == 104


def test_both_kinds_in_one_folder(tmp_path):
    multi(tmp_path / "b.h5")
    single(tmp_path / "a.npy", dtype=np.float64)
    source = CC359Source(tmp_path)
    assert volume_names(source) == ("a.npy", "b.h5")
    assert [ref.coils for ref in source.slices] == [1, 1, 3, 3, 3]
    assert source.read(0).kspace.dtype == np.complex64
    assert labels_of(source)["b.h5"] == {"subject": "b.h5"}
