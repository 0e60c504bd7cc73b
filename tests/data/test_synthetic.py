"""The embedded data: pure, coherent, with the contrast physics asks for, and fast."""

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.coils import combine_coils
from jaxnas.data.phantom import SEQUENCES, TISSUES
from jaxnas.data.source import Source, volume_names
from jaxnas.data.synthetic import NOISE, SyntheticSource, synthetic_image
from jaxnas.data.transforms import centered_ifft2


def magnitude(source, i):
    return np.abs(centered_ifft2(source.read(i).kspace))


@pytest.mark.parametrize("size", [32, (33, 28), (17, 40)])
@pytest.mark.parametrize("coils", [1, 4])
def test_shapes(size, coils):
    source = SyntheticSource(volumes=2, slices=2, size=size, coils=coils)
    assert isinstance(source, Source)
    shape = (size, size) if isinstance(size, int) else size
    item = source.read(3)
    assert source.slices[3] == (item.volume, item.index, shape, coils, False)
    assert item.kspace.dtype == np.complex64
    assert item.kspace.shape == (shape if coils == 1 else (coils, *shape))
    if coils > 1:
        assert item.sens.shape == item.kspace.shape
        np.testing.assert_allclose(np.sum(np.abs(item.sens) ** 2, axis=0), 1, atol=1e-5)


def test_a_slice_depends_on_seed_volume_and_slice_alone():
    many = SyntheticSource(volumes=3, slices=4, size=32, seed=5)
    again = SyntheticSource(volumes=2, slices=4, size=32, seed=5)
    np.testing.assert_array_equal(many.read(6).kspace, again.read(6).kspace)
    other = SyntheticSource(volumes=2, slices=4, size=32, seed=6)
    assert np.abs(many.read(6).kspace - other.read(6).kspace).max() > 0.1
    assert volume_names(many) == ("synthetic_0000_T1", "synthetic_0001_T2", "synthetic_0002_FLAIR")


def test_neighbouring_slices_look_alike_and_volumes_do_not():
    source = SyntheticSource(volumes=5, slices=20, size=64)

    def likeness(i, j):
        return np.corrcoef(magnitude(source, i).ravel(), magnitude(source, j).ravel())[0, 1]

    assert likeness(8, 9) > 0.95 > likeness(8, 88)  # volumes 0 and 4: both T1
    assert likeness(8, 9) > likeness(8, 15)


def test_the_anatomy_is_the_same_at_every_resolution():
    images = [np.abs(synthetic_image(0, 1, shape=(n, n), position=0.4)) for n in (64, 128)]
    coarse = images[1].reshape(64, 2, 64, 2).mean(axis=(1, 3))
    assert np.corrcoef(images[0].ravel(), coarse.ravel())[0, 1] > 0.95


def test_images_are_those_of_a_head():
    image = synthetic_image(0, 0, shape=(96, 96), position=0.3)
    size = np.abs(image)
    assert 0.3 < np.mean(size > 0.1) < 0.75, "a head on a dark background"
    assert size[:4].max() < 0.1 and size[:, :4].max() < 0.15
    assert 0.5 < size.max() < 2
    assert np.angle(image)[size > 0.3].std() > 0.1, "a phase"


def test_several_coils_see_the_single_coil_image():
    single = SyntheticSource(volumes=1, slices=1, size=48).read(0)
    item = SyntheticSource(volumes=1, slices=1, size=48, coils=5).read(0)
    difference = combine_coils(item.kspace, item.sens) - centered_ifft2(single.kspace)
    assert np.abs(difference).std() < 3 * NOISE


def test_noise_has_the_stated_level():
    source = SyntheticSource(volumes=1, slices=1, size=128)
    clean = synthetic_image(0, 0, shape=(128, 128), position=0.5)
    noise = centered_ifft2(source.read(0).kspace) - clean
    assert np.std(noise) == pytest.approx(NOISE, rel=0.05)


@pytest.mark.parametrize(
    ("sequence", "order"),
    [
        ("T1", ["fat", "white", "grey", "csf"]),
        ("T2", ["csf", "lesion", "grey", "white", "bone"]),
        ("FLAIR", ["lesion", "grey", "white", "csf"]),
        ("PD", ["grey", "white", "bone"]),
    ],
)
def test_contrasts(sequence, order):
    signals = [SEQUENCES[sequence].signal(TISSUES[name]) for name in order]
    assert signals == sorted(signals, reverse=True)


@pytest.mark.parametrize("wrong", [{"volumes": 0}, {"slices": 0}, {"coils": 0}, {"size": 8}])
def test_wrong_sizes(wrong):
    with pytest.raises(UserError, match="expected at least 1, 1, 1 and 16"):
        SyntheticSource(**{"volumes": 1, "slices": 1, "size": 32, **wrong})
