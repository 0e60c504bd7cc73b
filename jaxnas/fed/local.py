"""The local batches of a federated run, whatever is in them.

Everything is a pure function of (seed, client, round, step): it depends neither on which clients
take part in a round, nor on how many of them are computed together.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxnas.core.federated_schema import RoundsConfig
from jaxnas.data.batches import BatchStream


@dataclass(frozen=True)
class Round:
    """The work of every client in round `number`: `steps` int (C,) local steps, and their batches.

    Nothing is read before it is asked for: a round never exists as a whole.
    """

    number: int
    steps: np.ndarray
    streams: Sequence[BatchStream]

    def batch(self, client: int, step: int) -> dict[str, np.ndarray]:
        """The batch of local step `step` of a client, 0 ≤ step < steps[client]."""
        if not 0 <= step < self.steps[client]:
            raise ValueError(f"client {client} has {self.steps[client]} steps, asked for {step}")
        return self.streams[client].batch(self.number * int(self.steps[client]) + step)


@dataclass(frozen=True)
class ClientBatches:
    """The rounds of a federated run; `steps` int (C,) is the same in every round."""

    streams: Sequence[BatchStream]
    steps: np.ndarray

    @property
    def longest(self) -> int:
        """The largest number of local steps: what a round counts for in schedules."""
        return int(self.steps.max())

    def batch(self, number: int) -> Round:
        """Round `number`, from 0; a client goes on where it was after the round before."""
        return Round(number, self.steps, self.streams)


def local_steps(config: RoundsConfig, per_epoch: Sequence[int]) -> np.ndarray:
    """Local steps of every client in one round, int (C,): as given, or epochs of that many batches
    `per_epoch`."""
    if config.local_steps is not None:
        return np.full(len(per_epoch), config.local_steps)
    return config.local_epochs * np.asarray(per_epoch)


def client_seed(seed: int, client: str, purpose: str) -> int:
    """A seed of 32 bits for one purpose at one client, by name: other clients do not matter."""
    return zlib.crc32(f"{seed}/{client}/{purpose}".encode())


@dataclass(frozen=True)
class Cohort:
    """The clients that take part: their names and weights, and their batches."""

    names: tuple[str, ...]
    weights: tuple[float, ...]
    batches: ClientBatches
