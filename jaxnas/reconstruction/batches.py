"""Batches of k-space that come with sampling masks of a client's own."""

import zlib
from dataclasses import dataclass

import numpy as np

from jaxnas.data.batches import Batches
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.reconstruction.acquire import seeded_mask


@dataclass(frozen=True)
class Draws:
    """The draws that clients bring with a batch, all of them because one needs it: masks of
    `points` (H, W) where whole columns would do, and the level of the `noise`."""

    points: bool = False
    noise: bool = False


class MaskedBatches:
    """`batches` with sampling masks of `acquisition`, of any kind, drawn anew for every item."""

    def __init__(
        self, batches: Batches, acquisition: AcquisitionConfig, draws: Draws, *, seed: int
    ):
        self.batches, self.acquisition, self.draws = batches, acquisition, draws
        self.seed = zlib.crc32(f"{seed}/masks".encode())  # another one than that of the order

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        return self.batches.per_epoch

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of `step` with `mask` float32 (B, 1, W) of zeros and ones, or (B, H, W), and
        perhaps `noise` float32 (B,)."""
        batch, count = self.batches.batch(step), self.batches.size
        size = batch["kspace"].shape[-2:]
        seeds = np.random.default_rng((self.seed, step)).integers(2**32, size=count)
        masks = np.stack([seeded_mask(self.acquisition, size, int(seed)) for seed in seeds])
        if self.draws.points:
            masks = np.broadcast_to(masks, (count, *size))
        batch = batch | {"mask": masks.astype(np.float32)}
        if self.draws.noise:
            batch["noise"] = np.full(count, self.acquisition.noise, np.float32)
        return batch
