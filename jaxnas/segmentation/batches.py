"""Batches of prepared slices with labels, as a pure function of (seed, step)."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import (
    LabeledSource,
    annotated,
    labels_in,
    require_foreground,
    warn_of_absent,
)
from jaxnas.data.prepare import Preparation


class Slices(NamedTuple):
    """Prepared slices of several volumes, one after the other, in memory.

    Attributes:
      images: float32 (N, h, w).
      labels: uint8 (N, h, w).
      volumes: int32 (N,), positions in the source.
    """

    images: np.ndarray
    labels: np.ndarray
    volumes: np.ndarray


def prepare_slices(
    source: LabeledSource, indices: Sequence[int], preparation: Preparation, *, workers: int = 2
) -> Slices:
    """All slices of the volumes `indices`, each volume read once, 5 bytes a pixel.

    UserError for a volume without labels, where there is no volume, and where all pixels are
    background; a class that volumes lack is warned of.
    """
    if not len(indices):
        raise UserError("no labelled volume to train on; expected at least one, add patients")

    def prepare(i: int) -> tuple[np.ndarray, np.ndarray]:
        image, labels = preparation.forward(source.read(i))
        if labels is None:
            raise UserError(
                f"{source.volumes[i].name}: has no labels; expected a label file for every "
                "volume, leave this patient out"
            )
        return image, labels

    with ThreadPoolExecutor(workers, thread_name_prefix="volumes") as pool:
        images, labels = zip(*pool.map(prepare, indices))
    present = [labels_in(found) for found in labels]
    require_foreground(present, annotated(source), what="the training volumes")
    warn_of_absent(present, annotated(source), what="the training volumes")
    volumes = np.repeat(np.asarray(indices, np.int32), [len(image) for image in images])
    return Slices(np.concatenate(images), np.concatenate(labels), volumes)


class LabeledBatches:
    """Endless shuffled batches of slices that are all in memory.

    Every epoch visits every slice in a new order; the last batch is filled up with slices already
    seen in the epoch, so that none is ever dropped and all batches have `size` items.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, *, size: int, seed: int):
        """`images` float32 (N, h, w) and `labels` uint8 (N, h, w)."""
        if size < 1 or not len(images) or images.shape != labels.shape:
            raise ValueError(
                "expected slices, as many labels of one shape, and size >= 1, "
                f"found {images.shape}, {labels.shape} and {size}"
            )
        self.images = images
        self.labels = labels
        self.size = size
        self.seed = seed

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        return -(-len(self.images) // self.size)

    def indices(self, step: int) -> np.ndarray:
        """Positions of the slices of batch `step`, int32 (size,)."""
        epoch, row = divmod(step, self.per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))
        return np.resize(order, (self.per_epoch, self.size))[row].astype(np.int32)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The arrays of batch `step`.

        Returns:
          image: float32 (B, h, w).
          label: uint8 (B, h, w).
          index: int32 (B,), positions in `images`.
        """
        index = self.indices(step)
        return {"image": self.images[index], "label": self.labels[index], "index": index}
