"""The clients of a round: who takes part, with what weight, and what comes out of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxnas.core.errors import Diverged, UserError
from jaxnas.core.notices import warn
from jaxnas.engine.step import StepMetrics
from jaxnas.fed.exchange import Report
from jaxnas.fed.feed import Chunk


def participant_count(clients: int, fraction: float) -> int:
    """Clients in a round: max(1, round(fraction · clients))."""
    return max(1, round(fraction * clients))


def draw_participants(seed: int, number: int, *, clients: int, fraction: float) -> np.ndarray:
    """The clients of round `number`, ascending, int (n,); a pure function of (seed, round)."""
    rng = np.random.default_rng((seed, number))
    count = participant_count(clients, fraction)
    return np.sort(rng.choice(clients, count, replace=False))


def check_weights(weights: np.ndarray, names: Sequence[str], *, fraction: float) -> np.ndarray:
    """The weights as float64 (C,), one per client.

    ValueError if their number is another; UserError for a weight that is negative or not finite,
    or if a round could have none but clients of weight 0.
    """
    weights = np.asarray(weights, np.float64)
    if weights.shape != (len(names),):
        raise ValueError(f"expected weights ({len(names)},), one per client, got {weights.shape}")
    for name, weight in zip(names, weights):
        if not (np.isfinite(weight) and weight >= 0):
            raise UserError(f"client {name!r}: its weight is {weight}; expected 0 or more")
    if weights.sum() == 0:
        raise UserError(
            f"clients: the weights of {', '.join(names)} sum to 0, so there is nothing to average; "
            f"give at least one client a positive weight"
        )
    idle, count = int((weights == 0).sum()), participant_count(len(names), fraction)
    if count <= idle:
        raise UserError(
            f"participation: a round has {count} of {len(names)} clients, and {idle} have weight "
            f"0, so that there may be nothing to average; let more clients take part"
        )
    return weights


def normalised(weights: np.ndarray) -> np.ndarray:
    """The weights of those who take part, scaled to sum to one; exactly 1.0 for one client."""
    return weights / weights.sum()


@dataclass(frozen=True)
class Outcome:
    """The metrics `names` of a round: the mean over local steps, float64 (n,), of every client
    that is finite; and those clients that are not."""

    names: tuple[str, ...]
    means: dict[int, np.ndarray]
    failed: list[int]


def make_outcome(chunks: Sequence[Chunk], reports: Sequence[Report]) -> Outcome:
    """The outcome of the chunks of a round, in the order of the clients."""
    means, failed = {}, []
    for chunk, report in zip(chunks, reports):
        sums = np.asarray(report.readings.values, np.float64)
        for row, steps, finite, values in zip(chunk.rows, chunk.steps, report.finite, sums):
            if not steps:
                continue  # only there to fill up the devices
            if finite:
                means[int(row)] = values / steps
            else:
                failed.append(int(row))
    return Outcome(reports[0].readings.names, dict(sorted(means.items())), sorted(failed))


def check_outcome(
    outcome: Outcome, number: int, *, names: Sequence[str], weights: np.ndarray, bad_update: str
) -> None:
    """Decides about clients whose update is not finite, by `bad_update`.

    Raises Diverged, naming clients and round, under "stop", or if nobody with a weight is left;
    else warns. Rounds are counted from 1 in messages, as in the log.
    """
    if not outcome.failed:
        return
    who = ", ".join(repr(names[client]) for client in outcome.failed)
    what = f"round {number + 1}: the update of client {who} is not finite"
    if bad_update == "stop":
        raise Diverged(
            f"{what}; nothing of the round is kept; lower the learning rate, clip the gradient, "
            f"or set federated.bad_update=drop"
        )
    if not any(weights[client] > 0 for client in outcome.means):
        raise Diverged(f"{what}, and no other is left to average; nothing of the round is kept")
    warn(f"{what}; it is left out of the average")


def make_row(
    outcome: Outcome, *, names: Sequence[str], weights: np.ndarray, bad_update: str
) -> StepMetrics:
    """Metrics averaged with `weights` (C,), then `<metric>/<client>`, then `dropped` if asked."""
    clients = [*outcome.means]
    table = np.stack([*outcome.means.values()])
    row = dict(zip(outcome.names, np.average(table, axis=0, weights=weights[clients])))
    for client, values in outcome.means.items():
        row |= {f"{name}/{names[client]}": value for name, value in zip(outcome.names, values)}
    if bad_update == "drop":
        row["dropped"] = len(outcome.failed)
    return StepMetrics(np.array([*row.values()], np.float32), tuple(row))
