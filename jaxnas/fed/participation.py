"""The clients that take part in a round, and their weights."""

from collections.abc import Sequence

import numpy as np

from jaxnas.core.errors import UserError


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
