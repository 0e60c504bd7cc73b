from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.mri.masks import MASKS, draw_random_mask

SIZES = {"random": (1, 64), "random_2d": (16, 20)}
GOLDEN = [[0, 1, 15, 16, 17, 19], [4, 8, 15, 16, 17], [15, 16, 17]]
kinds = pytest.mark.parametrize("kind", SIZES)


def draw(key, shape, accelerations=(4, 8), center_fractions=(0.08, 0.04), kind="random", size=None):
    size = size or SIZES[kind]
    jitted = jax.jit(
        partial(
            draw_random_mask,
            shape=shape,
            kind=kind,
            size=size,
            accelerations=accelerations,
            center_fractions=center_fractions,
        )
    )
    return jitted(key)


@kinds
@pytest.mark.parametrize("acceleration, fraction", [(4, 0.08), (8, 0.04), (2.5, 0.1)])
def test_expected_number_of_samples_is_the_named_one(key, acceleration, fraction, kind):
    mask = draw(key, (4000,), (acceleration,), (fraction,), kind)
    assert mask.shape == (4000, *SIZES[kind]) and mask.dtype == jnp.float32
    assert set(np.unique(mask)) == {0, 1}
    # Standard error of the mean of 4000 counts: below 0.2 %.
    np.testing.assert_allclose(mask.mean() * acceleration, 1, atol=0.02)


@kinds
def test_every_sample_is_as_likely_as_its_kind_says(key, kind):
    center = MASKS[kind].center(SIZES[kind], 0.2)
    rate = np.asarray(draw(key, (4000,), (4,), (0.2,), kind).mean(0))
    np.testing.assert_array_equal(rate[center], 1)
    np.testing.assert_allclose(rate, MASKS[kind].chances(center, 4), atol=0.04)


@kinds
def test_centre_of_the_smaller_fraction_is_always_sampled(key, kind):
    rate = draw(key, (2000,), kind=kind).mean(0)
    assert (rate[MASKS[kind].center(SIZES[kind], 0.04)] == 1).all()


@kinds
def test_accelerations_are_equally_likely(key, kind):
    # Acceleration 1 samples everything, so the choice can be read off the mask.
    full = draw(key, (4000,), (1, 8), (0.08, 0.04), kind).all((-2, -1))
    np.testing.assert_allclose(full.mean(), 0.5, atol=0.04)


@kinds
def test_pure_function_of_the_key(key, kind):
    np.testing.assert_array_equal(draw(key, (2, 3), kind=kind), draw(key, (2, 3), kind=kind))
    assert (draw(key, (8,), kind=kind) != draw(jax.random.key(1), (8,), kind=kind)).any()
    drawn = jax.vmap(lambda k: draw(k, (), kind=kind))(jax.random.split(key, 5))
    assert drawn.shape == (5, *SIZES[kind])
    assert len(np.unique(drawn, axis=0)) == 5


def test_impossible_masks_are_refused_at_trace_time(key):
    with pytest.raises(UserError, match="takes 32 of 64 columns"):
        draw(key, (2,), (4,), (0.5,))
    with pytest.raises(UserError, match="rounds to no column"):
        draw(key, (2,), size=(1, 8))


def test_columns_of_a_key_are_those_that_runs_so_far_were_trained_with(key):
    drawn = draw(key, (3,), size=(5, 32), center_fractions=(0.1, 0.1))
    assert [np.flatnonzero(mask).tolist() for mask in np.asarray(drawn)[:, 0]] == GOLDEN
