"""Successive halving: candidates are trained a little, the best of them on, and so forth.

    n₀ candidates to R η^-K, of which the best n₀/η go on to R η^-(K-1), … until one is left

(Jamieson and Talwalkar, AISTATS 2016). R is a whole training; a survivor goes on from where it is,
so the one that is left has R/η behind it and its training is a prefix of the one it would have had
alone. What is chosen never depends on the test data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jaxnas.core.errors import Diverged

SELECTED, DROPPED, DIVERGED = "selected", "dropped", "diverged"


def rung_lengths(length: int, *, rungs: int, eta: int) -> tuple[int, ...]:
    """The steps, or rounds, at which candidates are ranked, of a training of `length`.

    >>> rung_lengths(1200, rungs=2, eta=3)
    (133, 400)
    """
    return tuple(max(1, round(length * eta ** (k - rungs))) for k in range(rungs))


def survivors(count: int, *, rungs: int, eta: int) -> tuple[int, ...]:
    """The candidates at every rung.

    >>> survivors(12, rungs=2, eta=3)
    (12, 4)
    """
    return tuple(max(1, count // eta**k) for k in range(rungs))


@dataclass
class Trial:
    """A candidate as far as it was seen: its score at every rung so far, then how it ended."""

    number: int
    scores: list[float] = field(default_factory=list)
    outcome: str = ""


def halve_candidates(
    trials: Sequence[Trial],
    lengths: Sequence[int],
    reach: Callable[[int, int], float],
    *,
    eta: int,
    on_change: Callable[[], None],
    on_rung: Callable[[int, Sequence[Trial]], None],
) -> Trial:
    """The trial that is left; what it knows already is not done again.

    `reach(number, length)` trains a candidate on to `length` and returns its score, more is better;
    Diverged drops it. `on_change()` is called after every training, `on_rung(rung, ranked)` at the
    end of every rung. Raises Diverged if no candidate is left.
    """
    alive = list(trials)
    kept = (*survivors(len(trials), rungs=len(lengths), eta=eta)[1:], 1)
    for rung, length in enumerate(lengths):
        for trial in alive:
            if len(trial.scores) > rung or trial.outcome == DIVERGED:
                continue
            try:
                trial.scores.append(reach(trial.number, length))
            except Diverged:
                trial.outcome = DIVERGED
            on_change()
        # One that diverges later was ranked here: a selection that goes on ranks it here again.
        ranked = sorted(
            (trial for trial in alive if len(trial.scores) > rung),
            key=lambda trial: (-trial.scores[rung], trial.number),
        )
        if not ranked:
            raise Diverged(
                f"select: all {len(alive)} candidates diverged within {length} steps; lower "
                f"train.optimizer.rate or clip the gradient"
            )
        alive = ranked[: kept[rung]]
        for trial in ranked[kept[rung] :]:
            trial.outcome = DROPPED
        if rung == len(lengths) - 1:
            alive[0].outcome = SELECTED
        on_rung(rung, ranked)
        on_change()
    return alive[0]
