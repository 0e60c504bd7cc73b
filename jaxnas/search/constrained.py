"""Decoding under a hard budget: the heaviest network whose measured latency stays within it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.search.decode import Fitness, check_count
from jaxnas.spaces.grid import Path, union_cells, union_weight


class NoNetworkFits(UserError):
    """No network of the pool was measured within the budget; knows the fastest, `fastest_ms`."""

    def __init__(self, message: str, paths: tuple[Path, ...], fastest_ms: float) -> None:
        super().__init__(message)
        self.paths, self.fastest_ms = paths, fastest_ms


@dataclass(frozen=True)
class Attempt:
    """A network that was measured: its paths, weight, and predicted and measured ms."""

    paths: tuple[Path, ...]
    weight: float
    predicted_ms: float
    measured_ms: float


@dataclass(frozen=True)
class Fit:
    """The network that holds the budget, and every attempt in the order they were made."""

    chosen: Attempt
    attempts: tuple[Attempt, ...]


def constrained(
    pool: Sequence[Path],
    betas: np.ndarray,
    budget_ms: float,
    predict: Fitness,
    measure: Callable[[tuple[Path, ...]], float],
    *,
    counts: Iterable[int] = range(1, 9),
    attempts: int = 12,
) -> Fit:
    """The heaviest network of `counts` paths of the pool that measures within `budget_ms`.

    Weight is `union_weight` under `betas` (L, D, 3): the log probability that a path stays within
    the network. Of the networks heavier than the best that held so far, the heaviest that is
    predicted to fit is measured; whatever comes out, too slow or fast enough, corrects the scale
    of the prediction, and so on until no heavier network is predicted to fit. A network holds if
    it is within the budget in two measurements, of which the slower counts.

    No network is attempted twice, and at most `attempts` are; the last goes to the fastest
    prediction if none has held. If that is over the budget too, NoNetworkFits says how fast the
    fastest measured is.
    """
    if attempts < 1 or not budget_ms > 0:
        raise ValueError(f"{attempts} attempts, {budget_ms} ms; expected at least 1, more than 0")
    waiting = _candidates(pool, betas, predict, counts)
    made: list[Attempt] = []
    held: Attempt | None = None
    scale = 1.0
    while waiting and len(made) < attempts:
        fits = [i for i, c in enumerate(waiting) if scale * c.predicted <= budget_ms]
        last = held is None and (not fits or len(made) == attempts - 1)
        if last:
            turn = min(range(len(waiting)), key=lambda i: waiting[i].predicted)
        elif fits:
            turn = fits[0]
        else:
            break
        candidate = waiting[turn]
        attempt = _attempt(candidate, budget_ms, measure)
        made.append(attempt)
        if attempt.measured_ms <= budget_ms:
            held = attempt
            waiting = waiting[:turn]  # only heavier ones can be better
        else:
            waiting = waiting[:turn] + waiting[turn + 1 :]
            if last:
                break
        if candidate.predicted > 0:
            scale = attempt.measured_ms / candidate.predicted
    if held is None:
        raise _none_fits(made, budget_ms)
    return Fit(held, tuple(made))


@dataclass(frozen=True)
class _Candidate:
    weight: float
    predicted: float
    paths: tuple[Path, ...]


def _candidates(
    pool: Sequence[Path], betas: np.ndarray, predict: Fitness, counts: Iterable[int]
) -> list[_Candidate]:
    """All networks of the pool, heaviest first; of equal cells the one of fewest paths."""
    counts = sorted(set(counts))
    check_count(pool, counts[0] if counts else 0)
    by_cells: dict[tuple, tuple[Path, ...]] = {}
    for count in counts:  # more paths than the pool has make no network
        for paths in combinations(pool, count):
            by_cells.setdefault(union_cells(paths), paths)
    found = [_Candidate(union_weight(p, betas), predict(p), p) for p in by_cells.values()]
    return sorted(found, key=lambda c: (-c.weight, c.predicted, c.paths))


def _attempt(
    candidate: _Candidate, budget_ms: float, measure: Callable[[tuple[Path, ...]], float]
) -> Attempt:
    """Measures a network, and once more if it seems to hold."""
    measured = measure(candidate.paths)
    if measured <= budget_ms:
        measured = max(measured, measure(candidate.paths))
    return Attempt(candidate.paths, candidate.weight, candidate.predicted, measured)


def _none_fits(made: Sequence[Attempt], budget_ms: float) -> NoNetworkFits:
    fastest = min(made, key=lambda attempt: attempt.measured_ms)
    return NoNetworkFits(
        f"decode: no network fits the budget of {budget_ms:g} ms; the fastest of the {len(made)} "
        f"measured takes {fastest.measured_ms:.3g} ms with {len(fastest.paths)} path(s); raise the "
        f"budget, or search again with fewer channels or layers",
        fastest.paths,
        fastest.measured_ms,
    )
