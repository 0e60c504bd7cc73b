"""Sources made from sources: cropped, with estimated coil maps, cached in memory."""

import threading
from collections import OrderedDict

import numpy as np

from jaxnas.data.coils import estimate_maps
from jaxnas.data.source import Slice, SliceRef, Source
from jaxnas.data.transforms import center_crop, check_crop, crop_kspace


class Cropped:
    """Every slice of `source` as if only the central (h, w) of its image had been scanned.

    Already undersampled slices keep their width, since a crop along the columns would mix the
    measured with the missing ones. A crop larger than a slice raises UserError naming its volume.
    """

    def __init__(self, source: Source, size: int | tuple[int, int]):
        self.source = source
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.slices = tuple(ref._replace(shape=self._shape(ref)) for ref in source.slices)

    def read(self, i: int) -> Slice:
        """The cropped slice `slices[i]`; the file's target is cropped where it is larger."""
        item, size = self.source.read(i), self.slices[i].shape
        uncut = item.kspace.shape[-1] == size[1]
        return item._replace(
            kspace=crop_kspace(item.kspace, size),
            sens=None if item.sens is None else center_crop(item.sens, size),
            target=None if item.target is None else _shrunk(item.target, size),
            padding=item.padding if uncut else None,
        )

    def _shape(self, ref: SliceRef) -> tuple[int, int]:
        size = (self.size[0], ref.shape[1]) if ref.masked else self.size
        check_crop(ref.shape, size, name=ref.volume)
        return size


class Calibrated:
    """`source` with coil sensitivities estimated wherever it has several coils and no maps.

    The estimate uses the central `fraction` of the columns, or the fully sampled centre where a
    slice comes undersampled: nothing that a scan would not measure.
    """

    def __init__(self, source: Source, *, fraction: float = 0.08):
        self.source = source
        self.fraction = fraction
        self.slices = source.slices

    def read(self, i: int) -> Slice:
        """The slice `slices[i]` with `sens`."""
        item = self.source.read(i)
        if self.slices[i].coils == 1 or item.sens is not None:
            return item
        width = item.kspace.shape[-1]
        columns = round(self.fraction * width) if item.mask is None else center_run(item.mask)
        return item._replace(sens=estimate_maps(item.kspace, columns=max(columns, 4)))


class Cached:
    """`source` with its most recently read slices kept decoded, at most `max_bytes` of them."""

    def __init__(self, source: Source, *, max_bytes: int):
        self.source = source
        self.max_bytes = max_bytes
        self.slices = source.slices
        self.bytes = 0
        self._items: OrderedDict[int, Slice] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, i: int) -> Slice:
        """The slice `slices[i]`, from memory where possible; its arrays must not be written to."""
        with self._lock:
            if i in self._items:
                self._items.move_to_end(i)
                return self._items[i]
        item = self.source.read(i)  # outside the lock: other threads go on meanwhile
        with self._lock:
            if i not in self._items and _bytes(item) <= self.max_bytes:
                self._items[i] = item
                self.bytes += _bytes(item)
            while self.bytes > self.max_bytes:
                self.bytes -= _bytes(self._items.popitem(last=False)[1])
        return item


def center_run(mask: np.ndarray) -> int:
    """Number of consecutive measured columns around the centre W // 2 of `mask` bool (W,)."""
    center = len(mask) // 2
    if not mask[center]:
        return 0
    right, left = mask[center:], mask[:center][::-1]
    return int(np.cumprod(right).sum() + np.cumprod(left).sum())


def _shrunk(target: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    smaller = tuple(min(n, m) for n, m in zip(target.shape, size))
    return center_crop(target, smaller)


def _bytes(item: Slice) -> int:
    return sum(field.nbytes for field in item if isinstance(field, np.ndarray))
