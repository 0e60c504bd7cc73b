"""The data of a reconstruction: slices of k-space, split by volume, and how they are sampled.

Masks are drawn in the training step, or come with the batches where a client has its own.
"""

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxnas.data.batches import Batches, EpochStream
from jaxnas.data.splits import slice_indices
from jaxnas.data.views import check_fully_sampled
from jaxnas.engine.slices import SliceDataset
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


@dataclass(frozen=True, kw_only=True)
class KspaceDataset(SliceDataset):
    """Volumes of a source, and how their slices are undersampled.

    Where there are `draws`, batches come with masks; otherwise a training step draws its own.
    """

    acquisition: AcquisitionConfig = field(default_factory=AcquisitionConfig)
    draws: Draws | None = None

    def stream(self, names: tuple[str, ...], *, size: int, seed: int) -> EpochStream:
        """Shuffled batches of the slices of some volumes."""
        batches = Batches(self.source, slice_indices(self.source, names), size=size, seed=seed)
        if self.draws is None:
            return batches
        return MaskedBatches(batches, self.acquisition, self.draws, seed=seed)

    @property
    def sizes(self) -> set[tuple[int, int]]:
        """The heights and widths of the k-space of all groups."""
        refs = (self.source.slices[i] for group in self.groups for i in self.slices(group))
        return {ref.shape for ref in refs}

    def check_sampled(self) -> None:
        """UserError for a volume, in any group, that has no truth to train for or compare with.

        Reads one slice of every volume; embedded data need none.
        """
        check_fully_sampled(self.source, {name for own in self.groups.values() for name in own})

    def facts(self) -> dict[str, Any]:
        """The entry of a client in clients.json; `shape` (H, W) is that of its k-space."""
        ref = self.source.slices[self.slices("train")[0]]
        own = {"coils": ref.coils, "acquisition": self.acquisition.model_dump(mode="json")}
        return super().facts() | own

    def describe(self) -> str:
        """One line: volumes and slices of every group, masks and accelerations."""
        factors = ", ".join(f"{a:g}×" for a in self.acquisition.accelerations)
        return f"{super().describe()}, {self.acquisition.mask} {factors}"
