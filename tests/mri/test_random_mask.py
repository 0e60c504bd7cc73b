from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.mri import masks
from jaxnas.mri.random_mask import draw_random_mask

W = 64


def draw(key, shape, accelerations=(4, 8), center_fractions=(0.08, 0.04), columns=W):
    jitted = jax.jit(
        partial(
            draw_random_mask,
            shape=shape,
            columns=columns,
            accelerations=accelerations,
            center_fractions=center_fractions,
        )
    )
    return jitted(key)


@pytest.mark.parametrize("acceleration, fraction", [(4, 0.08), (8, 0.04), (2.5, 0.1)])
def test_expected_number_of_columns_is_the_named_one(key, acceleration, fraction):
    mask = draw(key, (4000,), (acceleration,), (fraction,))
    assert mask.shape == (4000, 1, W) and mask.dtype == jnp.float32
    assert set(np.unique(mask)) == {0, 1}
    # Standard error of the mean of 4000 binomial counts: below 0.06 columns.
    np.testing.assert_allclose(mask.sum((-2, -1)).mean(), W / acceleration, atol=0.25)


def test_every_column_outside_the_centre_is_equally_likely(key):
    low = masks.num_low_columns(W, 0.08)
    centre = masks.center(W, low)
    rate = np.asarray(draw(key, (4000,), (4,), (0.08,))[:, 0].mean(0))
    np.testing.assert_array_equal(rate[centre], 1)
    np.testing.assert_allclose(rate[~centre], (W / 4 - low) / (W - low), atol=0.04)


def test_centre_of_the_smaller_fraction_is_always_sampled(key):
    rate = draw(key, (2000,))[:, 0].mean(0)
    assert (rate[masks.center(W, masks.num_low_columns(W, 0.04))] == 1).all()


def test_accelerations_are_equally_likely(key):
    # Acceleration 1 samples everything, so the choice can be read off the mask.
    full = draw(key, (4000,), (1, 8), (0.08, 0.04)).all((-2, -1))
    np.testing.assert_allclose(full.mean(), 0.5, atol=0.04)


def test_pure_function_of_the_key(key):
    np.testing.assert_array_equal(draw(key, (2, 3)), draw(key, (2, 3)))
    assert (draw(key, (8,)) != draw(jax.random.key(1), (8,))).any()
    masks_of_keys = jax.vmap(lambda k: draw(k, ()))(jax.random.split(key, 5))
    assert masks_of_keys.shape == (5, 1, W)
    assert len(np.unique(masks_of_keys, axis=0)) == 5


def test_impossible_masks_are_refused_at_trace_time(key):
    with pytest.raises(UserError, match="takes 32 of 64 columns"):
        draw(key, (2,), (4,), (0.5,))
    with pytest.raises(UserError, match="rounds to no column"):
        draw(key, (2,), columns=8)
