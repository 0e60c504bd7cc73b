"""Successive halving: who goes on, what it costs, and that nothing known is done again."""

import numpy as np
import pytest

from jaxnas.core.errors import Diverged
from jaxnas.search.halving import (
    DIVERGED,
    DROPPED,
    SELECTED,
    Trial,
    halve_candidates,
    rung_lengths,
    survivors,
)
from jaxnas.search.section import SelectConfig

pytestmark = pytest.mark.quick


class Training:
    """Candidates with known scores at every length; counts the steps that were taken."""

    def __init__(self, scores, *, diverging=(), diverging_at=None, ends_after=None):
        self.scores, self.diverging, self.ends_after = scores, {*diverging}, ends_after
        self.diverging_at = diverging_at
        self.reached, self.calls = {}, []

    def __call__(self, number, length):
        if self.ends_after is not None and len(self.calls) == self.ends_after:
            raise KeyboardInterrupt
        self.calls.append((number, length))
        if number in self.diverging and self.diverging_at in (None, length):
            raise Diverged("not finite")
        assert length > self.reached.get(number, 0)
        self.reached[number] = length
        return self.scores[number] + length


def run(training, trials, lengths, *, eta=3):
    seen = []

    def on_rung(rung, ranked):
        seen.append([t.number for t in ranked])

    winner = halve_candidates(
        trials, lengths, training, eta=eta, on_change=lambda: None, on_rung=on_rung
    )
    return winner, seen


@pytest.mark.parametrize(
    ("count", "eta", "rungs"), [(12, 3, 2), (27, 3, 3), (8, 2, 3), (3, 3, 1), (13, 4, 2)]
)
def test_the_best_goes_on_and_the_rest_stops_where_the_rungs_say(count, eta, rungs):
    scores = np.random.default_rng(count).permutation(count).astype(float)
    training, trials = Training(scores), [Trial(n) for n in range(count)]
    lengths = rung_lengths(900, rungs=rungs, eta=eta)
    winner, seen = run(training, trials, lengths, eta=eta)
    assert winner.number == scores.argmax() and winner.outcome == SELECTED
    assert [len(ranked) for ranked in seen] == [*survivors(count, rungs=rungs, eta=eta)]
    order = np.argsort(-scores)
    for ranked in seen:
        assert ranked == order[: len(ranked)].tolist()
    assert sum(t.outcome == DROPPED for t in trials) == count - 1
    assert training.reached[winner.number] == lengths[-1]


def test_twelve_candidates_cost_less_than_two_and_a_half_trainings():
    training = Training(np.arange(12.0))
    run(training, [Trial(n) for n in range(12)], rung_lengths(1200, rungs=2, eta=3))
    assert sum(training.reached.values()) / 1200 <= 2.5


@pytest.mark.parametrize("diverging_at", [None, 30])
@pytest.mark.parametrize("ends_after", range(17))
def test_a_selection_that_was_killed_goes_on(ends_after, diverging_at):
    """Also where the best of the first rung diverges at the second."""
    scores, lengths = np.random.default_rng(1).normal(size=12), rung_lengths(90, rungs=2, eta=3)
    bad = {"diverging": {int(scores.argmax())}, "diverging_at": diverging_at}
    whole = [Trial(n) for n in range(12)]
    run(Training(scores, **bad), whole, lengths)
    trials = [Trial(n) for n in range(12)]
    first = Training(scores, **bad, ends_after=ends_after)
    try:
        run(first, trials, lengths)
    except KeyboardInterrupt:
        second = Training(scores, **bad)
        second.reached = dict(first.reached)
        run(second, trials, lengths)
        assert not {*first.calls} & {*second.calls}
    assert trials == whole


def test_one_that_diverges_is_dropped_and_all_that_do_are_an_error():
    scores = np.arange(6.0)
    trials = [Trial(n) for n in range(6)]
    winner, _ = run(Training(scores, diverging={5, 3}), trials, (10, 30))
    assert winner.number == 4
    assert [t.outcome for t in trials].count(DIVERGED) == 2
    with pytest.raises(Diverged, match="all 6 candidates diverged within 10 steps"):
        run(Training(scores, diverging=range(6)), [Trial(n) for n in range(6)], (10, 30))


def test_equal_scores_go_to_the_earlier_candidate():
    winner, _ = run(Training(np.zeros(9)), [Trial(n) for n in range(9)], (10, 30))
    assert winner.number == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"candidates": 2, "eta": 3}, "none could be dropped"),
        ({"candidates": 12, "eta": 3, "rungs": 4}, "a single one is left before the last rung"),
        ({"candidates": 1}, "greater than or equal to 2"),
        ({"arrangement": {"cells": []}}, "at least 1 item"),
        ({"budget": {"macs": 0}}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_halved_is_refused(values, said):
    with pytest.raises(ValueError, match=said):
        SelectConfig(**values)
