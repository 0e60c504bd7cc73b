"""Sources made from sources: thinned, cropped, padded, calibrated, coil-combined, cached."""

import threading
from collections import OrderedDict

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.coils import combine, estimate_maps
from jaxnas.data.source import Slice, SliceRef, Source, labels_of
from jaxnas.data.transforms import (
    center_crop,
    center_pad,
    check_crop,
    check_pad,
    crop_kspace,
    fft2c,
    pad_kspace,
)

Size = int | tuple[int, int]


class View:
    """The slices of `source`, its volumes and their labels, before anything is done to them."""

    def __init__(self, source: Source):
        self.source = source
        self.slices: tuple[SliceRef, ...] = source.slices
        self.labels = labels_of(source)


class Thinned(View):
    """The slices `start:stop:step` of every volume of `source`, as Python counts them.

    A volume of which nothing is left raises UserError naming it.
    """

    def __init__(self, source: Source, slices: str):
        super().__init__(source)
        part = slice(*(int(n) if n else None for n in slices.split(":")))
        volumes: dict[str, list[int]] = {}
        for i, ref in enumerate(source.slices):
            volumes.setdefault(ref.volume, []).append(i)
        for name, rows in volumes.items():
            if not rows[part]:
                raise UserError(
                    f"{name}: {slices!r} leaves none of its {len(rows)} slices; expected at least "
                    f"one, widen data.slices"
                )
        kept = {i for rows in volumes.values() for i in rows[part]}
        self._places = [i for i in range(len(source.slices)) if i in kept]
        self.slices = tuple(source.slices[i] for i in self._places)

    def read(self, i: int) -> Slice:
        """The slice `slices[i]`."""
        return self.source.read(self._places[i])


class Cropped(View):
    """Every slice of `source` as if only the central (h, w) of its image had been scanned.

    Already undersampled slices keep their width, since a crop along the columns would mix the
    measured with the missing ones. A crop larger than a slice raises UserError naming its volume.
    """

    def __init__(self, source: Source, size: Size):
        super().__init__(source)
        self.size = _pair(size)
        self.slices = tuple(ref._replace(shape=self._shape(ref)) for ref in source.slices)

    def read(self, i: int) -> Slice:
        """The cropped slice `slices[i]`; the file's target is cropped where it is larger."""
        item, size = self.source.read(i), self.slices[i].shape
        return item._replace(
            kspace=crop_kspace(item.kspace, size),
            sens=None if item.sens is None else center_crop(item.sens, size),
            target=None if item.target is None else _shrunk(item.target, size),
            padding=_kept_padding(item, size),
        )

    def _shape(self, ref: SliceRef) -> tuple[int, int]:
        size = (self.size[0], ref.shape[1]) if ref.masked else self.size
        check_crop(ref.shape, size, name=ref.volume)
        return size


class Padded(View):
    """Every slice of `source` with zeros around its image, up to (h, w); crop it to undo.

    K-space follows: it is that of the larger field of view. Coil maps are zero where the image was
    padded; the file's target stays. A size smaller than a slice, and more columns for an already
    undersampled one, raise UserError naming the volume.
    """

    def __init__(self, source: Source, size: Size):
        super().__init__(source)
        self.size = _pair(size)
        for ref in source.slices:
            self._check(ref)
        self.slices = tuple(ref._replace(shape=self.size) for ref in source.slices)

    def read(self, i: int) -> Slice:
        """The padded slice `slices[i]`."""
        item = self.source.read(i)
        return item._replace(
            kspace=pad_kspace(item.kspace, self.size),
            sens=None if item.sens is None else center_pad(item.sens, self.size),
            padding=_kept_padding(item, self.size),
        )

    def _check(self, ref: SliceRef) -> None:
        check_pad(ref.shape, self.size, name=ref.volume)
        if ref.masked and ref.shape[1] != self.size[1]:
            raise UserError(
                f"{ref.volume}: cannot pad {ref.shape[1]} columns to {self.size[1]}, since the "
                "slices are undersampled and measured columns would mix with missing ones; "
                f"expected {ref.shape[1]} columns, pad the rows only"
            )


class Calibrated(View):
    """`source` with coil sensitivities estimated wherever it has several coils and no maps.

    The estimate uses the central `fraction` of the columns, or the fully sampled centre where a
    slice comes undersampled: nothing that a scan would not measure.
    """

    def __init__(self, source: Source, *, fraction: float = 0.08):
        super().__init__(source)
        self.fraction = fraction

    def read(self, i: int) -> Slice:
        """The slice `slices[i]` with `sens`."""
        item = self.source.read(i)
        if self.slices[i].coils == 1 or item.sens is not None:
            return item
        width = item.kspace.shape[-1]
        columns = round(self.fraction * width) if item.mask is None else center_run(item.mask)
        return item._replace(sens=estimate_maps(item.kspace, columns=max(columns, 4)))


class CoilCombined(View):
    """Emulated single-coil slices: k-space of the combined image, F Σ_c s̄_c F⁻¹(k_c).

    `source` must give maps s with several coils; slices of one coil pass unchanged. It differs
    from the emulated single coil (ESC) of fastMRI (Tygert and Zbontar 2020): that one fits one
    complex weight per coil to the root sum of squares and so has the shading of a real coil, this
    one weights every pixel and leaves the image without the coils. Its weights mix columns of
    k-space, hence no column is padding afterwards, and volumes that are undersampled already raise
    UserError.
    """

    def __init__(self, source: Source):
        super().__init__(source)
        for ref in source.slices:
            if ref.masked and ref.coils > 1:
                raise UserError(
                    f"{ref.volume}: is undersampled, and combining its {ref.coils} coils would mix "
                    "measured columns with missing ones; expected fully sampled k-space, use all "
                    "coils"
                )
        self.slices = tuple(ref._replace(coils=1) for ref in source.slices)

    def read(self, i: int) -> Slice:
        """The slice `slices[i]`, k-space (H, W); ValueError for several coils without maps."""
        item = self.source.read(i)
        if self.source.slices[i].coils == 1:
            return item
        if item.sens is None:
            raise ValueError(f"{item.volume}: expected sens with several coils, got none")
        kspace = fft2c(combine(item.kspace, item.sens))
        return item._replace(kspace=kspace, sens=None, padding=None)


class Cached(View):
    """`source` with its most recently read slices kept decoded, at most `max_bytes` of them."""

    def __init__(self, source: Source, *, max_bytes: int):
        super().__init__(source)
        self.max_bytes = max_bytes
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


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _kept_padding(item: Slice, size: tuple[int, int]) -> tuple[int, int] | None:
    """Columns on a new grid have no padding: each of them mixes all the old ones."""
    return item.padding if item.kspace.shape[-1] == size[1] else None


def _shrunk(target: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    smaller = tuple(min(n, m) for n, m in zip(target.shape, size))
    return center_crop(target, smaller)


def _bytes(item: Slice) -> int:
    return sum(field.nbytes for field in item if isinstance(field, np.ndarray))
