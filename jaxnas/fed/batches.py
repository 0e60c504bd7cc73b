"""The batches of a reconstruction: every client's slices, their order and its own masks."""

from collections.abc import Sequence

import numpy as np

from jaxnas.core.schema import AcquisitionConfig, Config
from jaxnas.data.batches import Batches
from jaxnas.engine.sources import Indices
from jaxnas.fed.clients import Client
from jaxnas.fed.local import ClientBatches, client_seed, local_steps
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


def training_batches(config: Config, clients: Sequence[Client]) -> ClientBatches:
    """Every client's training slices, `train.batch` at a time."""
    streams = [
        _stream(config, client, client.dataset.slices("train"), "train", config.train.batch)
        for client in clients
    ]
    per_epoch = [stream.batches.per_epoch for stream in streams]
    return ClientBatches(streams, local_steps(config.federated, per_epoch))


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
    per_epoch = [stream.train.batches.per_epoch for stream in streams]
    return ClientBatches(streams, local_steps(config.federated, per_epoch))


def search_halves(config: Config, client: Client) -> tuple[Indices, Indices]:
    """The slices of a client's training volumes, halved at random by volume."""
    return client.dataset.halves(client_seed(config.seed, client.name, "halves"))


def _stream(
    config: Config, client: Client, slices: Sequence[int], purpose: str, size: int
) -> MaskedBatches:
    """The batches of one client for one purpose, in an order and with masks of their own."""
    seed = client_seed(config.seed, client.name, purpose)
    order = Batches(client.dataset.source, slices, size=size, seed=seed)
    masks = client_seed(config.seed, client.name, f"{purpose} masks")
    return MaskedBatches(order, client.acquisition, seed=masks)
