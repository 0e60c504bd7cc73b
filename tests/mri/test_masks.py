"""What all kinds of masks have in common."""

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.mri import masks

pytestmark = pytest.mark.quick

R4, R8, BOTH = ((4,), (0.08,)), ((8,), (0.04,)), ((4, 8), (0.08, 0.04))
NAME = "file1000000.h5"
SIZE = (48, 64)
kinds = pytest.mark.parametrize("kind", masks.MASKS)
POINTS = ("random_2d", "poisson")


def make(kind="random", size=SIZE, pairs=BOTH, seed=0):
    accelerations, center_fractions = pairs
    return masks.make_mask(
        kind, size, accelerations=accelerations, center_fractions=center_fractions, seed=seed
    )


@kinds
def test_shape(kind):
    mask = make(kind)
    assert mask.samples.dtype == bool
    assert (
        mask.samples.shape
        == masks.mask_shape(kind, SIZE)
        == ((48, 64) if kind in POINTS else (1, 64))
    )


@kinds
def test_a_file_name_seeds_with_its_character_codes(kind):
    by_name, others = make(kind, seed=NAME), [make(kind, seed=f"file{i}.h5") for i in range(5)]
    np.testing.assert_array_equal(by_name.samples, make(kind, seed=NAME).samples)
    assert any((by_name.samples != other.samples).any() for other in others)


@kinds
def test_global_generator_is_neither_used_nor_changed(kind):
    np.random.seed(3)
    want = make(kind).samples
    state = np.random.get_state()[1].copy()
    np.random.seed(4)
    np.testing.assert_array_equal(make(kind).samples, want)
    np.random.seed(3)
    make(kind)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


@kinds
@pytest.mark.parametrize("size", [(24, 31), (17, 64)])
def test_centre_is_always_sampled_and_both_accelerations_are_drawn(kind, size):
    drawn = [make(kind, size, seed=seed) for seed in range(60)]
    assert {4, 8} == {mask.acceleration for mask in drawn}
    for mask in drawn:
        fraction = {4: 0.08, 8: 0.04}[mask.acceleration]
        height, width = mask.samples.shape
        if kind in POINTS:
            y, x = np.mgrid[:height, :width] - np.array([height // 2, width // 2])[:, None, None]
            centre = (y / (height * fraction / 2)) ** 2 + (x / (width * fraction / 2)) ** 2 < 1
        else:
            low = round(width * fraction)
            start = (width - low + 1) // 2
            centre = np.isin(np.arange(width), np.arange(start, start + low))[None]
        assert mask.samples[centre].all() and mask.num_low == centre.sum()
        assert mask.samples[height // 2, width // 2], "zero frequency is always sampled"


@pytest.mark.parametrize("kind", [kind for kind, how in masks.MASKS.items() if how.budget])
@pytest.mark.parametrize("pairs", [R4, ((6,), (0.1,)), ((2.5,), (0.2,))], ids=str)
def test_named_acceleration_is_about_the_true_one_on_average(kind, pairs):
    size = (96, 320)
    shares = [make(kind, size, pairs, seed).samples.mean() for seed in range(40)]
    np.testing.assert_allclose(np.mean(shares) * pairs[0][0], 1, atol=0.12)


@pytest.mark.parametrize("kind", POINTS)
def test_acceleration_1_samples_every_point(kind):
    assert make(kind, SIZE, ((1,), (0.08,))).samples.all()


@pytest.mark.parametrize(
    "kind, size, pairs, message",
    [
        ("spiral", (1, 320), R4, "mask kind 'spiral' is unknown; expected one of random, equi"),
        (
            "random",
            (1, 320),
            ((4, 8), (0.08,)),
            "accelerations has 2 values and center_fractions 1",
        ),
        ("random", (1, 320), ((), ()), "at least one"),
        ("random", (1, 320), ((0.5,), (0.08,)), "acceleration is 0.5; expected .* at least 1"),
        ("random", (1, 320), ((float("nan"),), (0.08,)), "acceleration is nan"),
        (
            "equispaced",
            (1, 320),
            ((2.5,), (0.08,)),
            "acceleration is 2.5; .* 'equispaced_fraction'",
        ),
        (
            "random",
            (1, 320),
            ((4,), (1.5,)),
            "center_fraction is 1.5; expected above 0 and at most",
        ),
        ("random", (1, 320), ((4,), (0.0,)), "center_fraction is 0.0"),
        ("random", (1, 320), ((4,), (0.5,)), "takes 160 of 320 columns, .* no more than 80"),
        ("equispaced_fraction", (1, 100), ((4,), (0.25,)), "takes 25 of 100 columns, .* than 25"),
        ("magic_fraction", (1, 30), ((4,), (0.28,)), "takes 8 of 30 columns, .* than 8"),
        ("equispaced", (1, 8), R8, "of 8 columns rounds to no column at all"),
        ("random", (1, 0), R8, "of 0 columns rounds to no column at all"),
        ("random_2d", (20, 30), ((4,), (0.9,)), "takes .* of 600 points, .* no more than 150"),
        ("poisson", (20, 30), ((7,), (0.9,)), "takes .* of 600 points, .* no more than 86"),
        ("poisson", (20, 0), R8, "of 0 points rounds to no point at all"),
    ],
)
def test_impossible_masks_are_refused_in_one_sentence(kind, size, pairs, message):
    with pytest.raises(UserError, match=message):
        make(kind, size, pairs)


def test_validate_without_a_size_checks_what_it_can():
    masks.validate("random", accelerations=[4], center_fractions=[0.5])
    with pytest.raises(UserError, match="acceleration is 0"):
        masks.validate("random", accelerations=[0], center_fractions=[0.5])


def test_the_config_knows_the_same_kinds():
    from typing import get_args

    from jaxnas.mri.section import ColumnMask, PointMask

    kinds = {kind: how.unit for kind, how in masks.MASKS.items()}
    named = dict.fromkeys(get_args(ColumnMask), "columns")
    assert kinds == named | dict.fromkeys(get_args(PointMask), "points")
