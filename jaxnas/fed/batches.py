"""The batches of a reconstruction: every client's slices, their order and its own masks."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxnas.core.schema import AcquisitionConfig, Config
from jaxnas.data.batches import Batches
from jaxnas.engine.acquire import seeded_mask
from jaxnas.engine.sources import Indices
from jaxnas.fed.clients import Client
from jaxnas.fed.local import ClientBatches, client_seed, local_steps
from jaxnas.search.stage import HalfBatches


class MaskedBatches:
    """`batches` with sampling masks of `acquisition`, of any kind, drawn anew for every item.

    Clients are computed together, so what one of them needs all have: masks of `points`, where
    whole columns would do, and with `noisy` the level of the noise.
    """

    def __init__(
        self,
        batches: Batches,
        acquisition: AcquisitionConfig,
        *,
        seed: int,
        points: bool = False,
        noisy: bool = False,
    ):
        self.batches, self.acquisition, self.seed = batches, acquisition, seed
        self.points, self.noisy = points, noisy

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of `step` with `mask` float32 (B, 1, W) of zeros and ones, or (B, H, W), and
        perhaps `noise` float32 (B,)."""
        batch, count = self.batches.batch(step), self.batches.size
        size = batch["kspace"].shape[-2:]
        seeds = np.random.default_rng((self.seed, step)).integers(2**32, size=count)
        masks = np.stack([seeded_mask(self.acquisition, size, int(seed)) for seed in seeds])
        if self.points:
            masks = np.broadcast_to(masks, (count, *size))
        batch = batch | {"mask": masks.astype(np.float32)}
        if self.noisy:
            batch["noise"] = np.full(count, self.acquisition.noise, np.float32)
        return batch


def training_batches(config: Config, clients: Sequence[Client]) -> ClientBatches:
    """Every client's training slices, `train.batch` at a time."""
    stream = _streams(config, clients)
    streams = [
        stream(client, client.dataset.slices("train"), "train", config.train.batch)
        for client in clients
    ]
    per_epoch = [stream.batches.per_epoch for stream in streams]
    return ClientBatches(streams, local_steps(config.federated, per_epoch))


def search_batches(config: Config, clients: Sequence[Client]) -> ClientBatches:
    """Every client's two halves of its training volumes, `search.batch` slices of each at a time.

    A batch holds the halves `train`, for the weights, and `valid`, for the architecture.
    """
    stream = _streams(config, clients)
    streams = [
        HalfBatches(
            *(
                stream(client, half, f"search {name}", config.search.batch)
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


def _streams(config: Config, clients: Sequence[Client]) -> Callable[..., MaskedBatches]:
    """Returns stream(client, slices, purpose, size), the batches of one of `clients` for one
    purpose, in an order and with masks of their own."""
    points = not all(client.acquisition.whole_columns for client in clients)
    noisy = any(client.acquisition.noise for client in clients)

    def stream(client, slices, purpose, size):
        seed = client_seed(config.seed, client.name, purpose)
        order = Batches(client.dataset.source, slices, size=size, seed=seed)
        masks = client_seed(config.seed, client.name, f"{purpose} masks")
        return MaskedBatches(order, client.acquisition, seed=masks, points=points, noisy=noisy)

    return stream
