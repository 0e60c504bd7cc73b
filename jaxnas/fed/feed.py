"""The local batches of a round: those of every client, and all in the order they are computed.

That order is chunk by chunk, local step by step.
Everything is a pure function of (seed, client, round, step): it depends neither on which clients
take part in a round, nor on how many of them are computed together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import jax
import numpy as np

from jaxnas.core.sections import Experiment
from jaxnas.data.batches import BatchStream, EpochStream, HalfBatches
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.groups import search_streams, training_streams
from jaxnas.fed.section import RoundsConfig

Stream = TypeVar("Stream", bound=EpochStream)


class RoundData(Protocol):
    """The local batches of one round, read when they are needed and by several threads.

    number: the round, from 0.
    steps: int (C,), the local steps of every client, at least one; the same in every round.
    """

    number: int
    steps: np.ndarray

    def batch(self, client: int, step: int) -> Any:
        """The (nested) dict of NumPy arrays of a client's local step in [0, steps[client])."""
        ...


@dataclass(frozen=True)
class Chunk:
    """Clients that are computed together: `rows` int32 (k,) and their local `steps` int (k,).

    Rows that only fill up the devices have no steps and a number past the last client.
    """

    rows: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True)
class StatePart:
    """A stacked batch (k, ...) and the rows it belongs to, bool (k,)."""

    batch: Any
    active: np.ndarray

    @property
    def shapes(self) -> Any:
        """Structure, shapes and dtypes of the batch; hashable."""
        return _shapes(self.batch)


def make_chunks(clients: np.ndarray, steps: np.ndarray, *, size: int, multiple: int) -> list[Chunk]:
    """The `clients` of a round in chunks of `size`, the last one smaller, each filled up to a
    `multiple`; `steps` int (C,) are those of all clients.

    Clients with equally many steps go together: a chunk waits for its longest.
    """
    order = clients[np.argsort(steps[clients], kind="stable")]
    found = []
    for first in range(0, len(order), size):
        rows = order[first : first + size]
        fill = -len(rows) % multiple
        found.append(
            Chunk(
                np.pad(rows, (0, fill), constant_values=len(steps)).astype(np.int32),
                np.pad(steps[rows], (0, fill)),
            )
        )
    return found


class Feed:
    """All local batches of a round by number, as `prefetch` wants them."""

    def __init__(self, data: RoundData, chunks: Sequence[Chunk]) -> None:
        self.data = data
        self.jobs = [(chunk, step) for chunk in chunks for step in range(chunk.steps.max())]

    def __len__(self) -> int:
        return len(self.jobs)

    def batch(self, number: int) -> list[StatePart]:
        """The local step in parts of equal shapes: one, unless clients differ in them.

        A row without a batch of its own in a part holds a copy of another's.
        """
        chunk, step = self.jobs[number]
        own = {
            row: self.data.batch(int(chunk.rows[row]), step)
            for row in np.flatnonzero(step < chunk.steps).tolist()
        }
        groups: dict[Any, list[int]] = {}
        for row, batch in own.items():
            groups.setdefault(_shapes(batch), []).append(row)
        return [_part(own, group, len(chunk.rows)) for group in groups.values()]


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


def _part(own: dict[int, Any], group: list[int], size: int) -> StatePart:
    batches = [own[row if row in group else group[0]] for row in range(size)]
    return StatePart(
        jax.tree.map(lambda *arrays: np.stack(arrays), *batches),
        np.isin(np.arange(size), group),
    )


def _shapes(batch: Any) -> Any:
    leaves, structure = jax.tree.flatten(batch)
    return structure, tuple((x.shape, x.dtype) for x in leaves)


def _client_batches(config: Experiment, streams: Mapping[str, Stream]) -> ClientBatches[Stream]:
    per_epoch = [stream.per_epoch for stream in streams.values()]
    return ClientBatches([*streams.values()], local_steps(config.federated, per_epoch))
