"""Who takes part: reproducible, never nobody, everybody in the long run; weights."""

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.fed.participation import (
    check_weights,
    draw_participants,
    normalised,
    participant_count,
)


@pytest.mark.parametrize(
    ("clients", "fraction", "count"), [(10, 0.3, 3), (10, 0.01, 1), (1, 1.0, 1), (7, 1.0, 7)]
)
def test_count(clients, fraction, count):
    assert participant_count(clients, fraction) == count
    drawn = draw_participants(0, 0, clients=clients, fraction=fraction)
    assert len(drawn) == count


def test_a_pure_function_of_seed_and_round():
    def draw(seed, number):
        return draw_participants(seed, number, clients=20, fraction=0.4).tolist()

    assert draw(1, 5) == draw(1, 5)
    assert len({tuple(draw(1, number)) for number in range(10)}) > 8
    assert draw(1, 5) != draw(2, 5)
    for number in range(5):
        drawn = draw(3, number)
        assert drawn == sorted(set(drawn)) and set(drawn) <= set(range(20))


def test_everybody_is_drawn_equally_often():
    counts = np.zeros(8)
    for number in range(2000):
        counts[draw_participants(4, number, clients=8, fraction=0.25)] += 1
    # Binomial(2000, 1/4): standard deviation 19.
    np.testing.assert_allclose(counts, 500, atol=5 * 19)


@pytest.mark.parametrize("weights", [[3], [1, 2, 3], [0, 5], [1e-12, 1e12]])
def test_weights_sum_to_one(weights):
    np.testing.assert_allclose(normalised(np.array(weights, np.float64)).sum(), 1.0, rtol=1e-12)


@pytest.mark.parametrize("weight", [1.0, 0.1, 3e-7, 285.0])
def test_one_client_weighs_exactly_one(weight):
    assert normalised(np.array([weight]))[0] == 1.0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0, 0], "the weights of siemens, ge sum to 0"),
        ([1, -2], "client 'ge': its weight is -2"),
        ([np.nan, 1], "client 'siemens': its weight is nan"),
    ],
)
def test_weights_that_mean_nothing(weights, message):
    with pytest.raises(UserError, match=message):
        check_weights(np.array(weights), ["siemens", "ge"], fraction=1.0)


def test_a_round_that_may_have_nothing_to_average():
    with pytest.raises(UserError, match="a round has 1 of 2 clients, and 1 have weight 0"):
        check_weights(np.array([0, 1]), ["siemens", "ge"], fraction=0.5)
    check_weights(np.array([0, 1]), ["siemens", "ge"], fraction=1.0)


def test_one_weight_per_client():
    with pytest.raises(ValueError, match=r"expected weights \(2,\), one per client, got \(3,\)"):
        check_weights(np.ones(3), ["siemens", "ge"], fraction=1.0)
