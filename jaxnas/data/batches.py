"""Batches as a pure function of (seed, step), and threads that prepare them ahead."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Protocol

import numpy as np

from jaxnas.data.source import Slice, Source


class BatchSource(Protocol):
    """Batches by number."""

    def batch(self, number: int, /) -> Any:
        """The pytree of NumPy arrays of that number; a pure function of it."""
        ...


class BatchStream(BatchSource, Protocol):
    """The batches of one site: that of a step is a dict of arrays."""

    def batch(self, step: int, /) -> dict[str, Any]:
        """The batch of a step."""
        ...


class EpochStream(BatchStream, Protocol):
    """Batches that go through a set of slices, epoch after epoch."""

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        ...


class HalfBatches:
    """Batches with the halves `train` and `valid`, each of its own volumes."""

    def __init__(self, train: EpochStream, valid: EpochStream):
        self.train, self.valid = train, valid

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch of the half `train`, which the weights are trained on."""
        return self.train.per_epoch

    def batch(self, step: int) -> dict[str, Any]:
        """Both halves of a step; a pure function of `step`."""
        return {"train": self.train.batch(step), "valid": self.valid.batch(step)}


class Batches:
    """Endless shuffled batches of the slices `indices` of `source`.

    Slices of equal shape, coil count and sampling share batches. Every epoch visits every slice
    in a new order; the last batch of a shape is filled up with slices already seen in the epoch,
    so that none is ever dropped and all batches have `size` items.
    """

    def __init__(self, source: Source, indices: Sequence[int], *, size: int, seed: int):
        if size < 1 or not len(indices):
            raise ValueError(f"expected slices and size >= 1, got {len(indices)} and {size}")
        self.source = source
        self.size = size
        self.seed = seed
        self.buckets = _buckets(source, indices)

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        return sum(-(-len(bucket) // self.size) for bucket in self.buckets)

    def indices(self, step: int) -> np.ndarray:
        """Positions in `source.slices` of batch `step`, int (size,)."""
        epoch, i = divmod(step, self.per_epoch)
        rng = np.random.default_rng((self.seed, epoch))
        rows = [_rows(rng.permutation(bucket), self.size) for bucket in self.buckets]
        return rng.permutation(np.concatenate(rows))[i]

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The arrays of batch `step`; see `stack`."""
        indices = self.indices(step)
        return stack([self.source.read(i) for i in indices], indices=indices)


def stack(items: Sequence[Slice], *, indices: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
    """Slices of equal shape as one batch.

    Returns:
      kspace: complex64 (B, [C,] H, W).
      sens: complex64 (B, C, H, W), absent where the slices have none.
      columns: bool (B, W), the columns that hold measurements (all but padding, or the mask).
      index: int32 (B,), positions in the source.
    """
    batch = {
        "kspace": np.stack([item.kspace for item in items]),
        "columns": np.stack([item.columns for item in items]),
        "index": np.asarray(indices, np.int32),
    }
    if items[0].sens is not None:
        batch["sens"] = np.stack([item.sens for item in items if item.sens is not None])
    return batch


def prefetch(
    batches: BatchSource, start: int, stop: int, *, workers: int = 2, depth: int = 4
) -> Generator[Any, None, None]:
    """Yields batches start, ..., stop - 1 in order, up to `depth` of them prepared ahead.

    An error in a worker is raised here, at the step it belongs to. Closing the iterator, or an
    error in the caller's loop, cancels what has not begun and waits for the rest.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
    try:
        jobs = (pool.submit(batches.batch, step) for step in range(start, stop))
        waiting = deque(islice(jobs, depth))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(islice(jobs, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def _buckets(source: Source, indices: Sequence[int]) -> list[np.ndarray]:
    buckets: dict[tuple, list[int]] = {}
    for i in indices:
        ref = source.slices[i]
        buckets.setdefault((ref.shape, ref.coils, ref.masked), []).append(i)
    return [np.asarray(bucket) for bucket in buckets.values()]


def _rows(order: np.ndarray, size: int) -> np.ndarray:
    """`order` as rows of `size`, the last one filled up from the beginning."""
    return np.resize(order, (-(-len(order) // size), size))
