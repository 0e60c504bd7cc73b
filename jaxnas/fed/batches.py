"""Rounds of batches: every client's slices, their order and its own sampling masks.

Everything is a pure function of (seed, client, round, step): it depends neither on which clients
take part in a round, nor on how many of them are computed together.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxnas.core.schema import AcquisitionConfig, Config
from jaxnas.data.batches import Batches, BatchStream
from jaxnas.engine.sources import Indices
from jaxnas.fed.clients import Client
from jaxnas.mri.masks import make_mask
from jaxnas.search.stage import HalfBatches


class MaskedBatches:
    """`batches` with sampling masks of `acquisition`, of any kind, drawn anew for every item."""

    def __init__(self, batches: Batches, acquisition: AcquisitionConfig, *, seed: int):
        self.batches, self.acquisition, self.seed = batches, acquisition, seed

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of `step` with `mask` float32 (B, 1, W) of zeros and ones."""
        batch = self.batches.batch(step)
        *_, columns = batch["kspace"].shape
        seeds = np.random.default_rng((self.seed, step)).integers(2**32, size=self.batches.size)
        masks = [self._mask(columns, int(seed)) for seed in seeds]
        return batch | {"mask": np.stack(masks)[:, None, :].astype(np.float32)}

    def _mask(self, columns: int, seed: int) -> np.ndarray:
        return make_mask(
            self.acquisition.mask,
            columns,
            accelerations=self.acquisition.accelerations,
            center_fractions=self.acquisition.center_fractions,
            seed=seed,
        ).columns


@dataclass(frozen=True)
class Round:
    """What every client does in round `number`: `steps` int (C,) local steps, and their batches.

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


def training_batches(config: Config, clients: Sequence[Client]) -> ClientBatches:
    """Every client's training slices, `train.batch` at a time."""
    streams = [
        _stream(config, client, client.dataset.slices("train"), "train", config.train.batch)
        for client in clients
    ]
    return ClientBatches(streams, local_steps(config, [stream.batches for stream in streams]))


def search_batches(config: Config, clients: Sequence[Client]) -> ClientBatches:
    """Every client's two halves of its training volumes, `search.batch` slices of each at a time.

    A batch holds the halves `train`, for the weights, and `valid`, for the architecture.
    """
    streams = [
        HalfBatches(
            *(
                _stream(config, client, half, f"search {name}", config.search.batch)
                for name, half in zip(("train", "valid"), search_halves(config, client))
            )
        )
        for client in clients
    ]
    return ClientBatches(streams, local_steps(config, [s.train.batches for s in streams]))


def search_halves(config: Config, client: Client) -> tuple[Indices, Indices]:
    """The slices of a client's training volumes, halved at random by volume."""
    return client.dataset.halves(_seed(config.seed, client.name, "halves"))


def local_steps(config: Config, batches: Sequence[Batches]) -> np.ndarray:
    """Local steps of every client in one round, int (C,): as given, or epochs of its batches."""
    federated = config.federated
    if federated.local_steps is not None:
        return np.full(len(batches), federated.local_steps)
    return np.array([federated.local_epochs * own.per_epoch for own in batches])


def _stream(
    config: Config, client: Client, slices: Sequence[int], purpose: str, size: int
) -> MaskedBatches:
    """The batches of one client for one purpose, in an order and with masks of their own."""
    order = Batches(
        client.dataset.source, slices, size=size, seed=_seed(config.seed, client.name, purpose)
    )
    masks = _seed(config.seed, client.name, f"{purpose} masks")
    return MaskedBatches(order, client.acquisition, seed=masks)


def _seed(seed: int, client: str, purpose: str) -> int:
    """A seed of 32 bits for one purpose at one client, by name: other clients do not matter."""
    return zlib.crc32(f"{seed}/{client}/{purpose}".encode())
