"""The outcome of a round: its readings, and the clients that failed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxnas.core.errors import Diverged
from jaxnas.core.notices import warn
from jaxnas.engine.step import StepMetrics
from jaxnas.fed.exchange import Report
from jaxnas.fed.feed import Chunk


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
