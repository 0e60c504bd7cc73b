"""The local batches of a federated run, whatever is in them.

Everything is a pure function of (seed, client, round, step): it depends neither on which clients
take part in a round, nor on how many of them are computed together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from jaxnas.core.sections import Experiment
from jaxnas.data.batches import BatchStream, EpochStream, HalfBatches
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.groups import search_streams, training_streams
from jaxnas.fed.section import RoundsConfig

Stream = TypeVar("Stream", bound=EpochStream)


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
class ClientBatches(Generic[Stream]):
    """The rounds of a federated run; `steps` int (C,) is the same in every round."""

    streams: Sequence[Stream]
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


def training_batches(config: Experiment, cohort: Cohort) -> ClientBatches[EpochStream]:
    """Every client's training slices, `train.batch` at a time."""
    return _client_batches(config, training_streams(config, cohort))


def search_batches(config: Experiment, cohort: Cohort) -> ClientBatches[HalfBatches]:
    """Every client's two halves of its training group, `search.batch` slices of each at a time."""
    return _client_batches(config, search_streams(config, cohort))


def _client_batches(config: Experiment, streams: Mapping[str, Stream]) -> ClientBatches[Stream]:
    per_epoch = [stream.per_epoch for stream in streams.values()]
    return ClientBatches([*streams.values()], local_steps(config.federated, per_epoch))
