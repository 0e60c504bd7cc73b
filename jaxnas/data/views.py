"""Sources made from sources: thinned, cropped, padded, calibrated, coil-combined, cached."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.notices import warn
from jaxnas.data.coils import column_window, combine_coils, ellipse_window, estimate_maps
from jaxnas.data.sampling import empty_share
from jaxnas.data.source import Slice, SliceRef, Source, labels_of
from jaxnas.data.transforms import (
    center_crop,
    center_pad,
    centered_fft2,
    check_crop,
    check_pad,
    crop_kspace,
    describe_misplaced,
    misplaced_axes,
    pad_kspace,
)

Size = int | tuple[int, int]

LEAST_CENTER = 4  # columns, or points across, for coil maps


class View:
    """The slices of `source`, its volumes and their labels, before anything is done to them."""

    def __init__(self, source: Source):
        self.source = source
        self.slices: tuple[SliceRef, ...] = source.slices
        self.labels = labels_of(source)


def rows_of(slices: Sequence[SliceRef]) -> dict[str, list[int]]:
    """The places of every volume's slices, in order."""
    rows: dict[str, list[int]] = {}
    for i, ref in enumerate(slices):
        rows.setdefault(ref.volume, []).append(i)
    return rows


class FullySampled(View):
    """`source` where every slice is to be trained on or compared with: none may be undersampled.

    A slice that is, whether a mask says so or its k-space shows it, raises UserError naming it.
    """

    def read(self, i: int) -> Slice:
        """The fully sampled slice `slices[i]`."""
        item = self.source.read(i)
        if item.mask is not None:
            raise UserError(_undersampled(self.slices[i], empty_share(item.mask)))
        return item

    def check(self, volumes: Collection[str]) -> None:
        """UserError for one among `volumes` that is undersampled, or empty in all its slices.

        Reads a single slice of each that is not empty.
        """
        used = {name: rows for name, rows in rows_of(self.slices).items() if name in volumes}
        for rows in used.values():
            if self.slices[rows[0]].masked:
                raise UserError(_undersampled(self.slices[rows[0]], None))
        for name, rows in used.items():
            item = first_filled(self, rows)
            if item is not None:
                warn_of_origin(item)
            else:
                raise UserError(
                    f"volume {name!r}: k-space is zero in all of its {len(rows)} slices; expected "
                    "a scan, leave it out"
                )


def first_filled(source: Source, rows: Sequence[int]) -> Slice | None:
    """A slice among `rows` that is not empty, None if all are: looked for from the middle, where
    heads are, outwards."""
    middle = rows[len(rows) // 2]
    items = map(source.read, sorted(rows, key=lambda row: abs(row - middle)))
    return next((item for item in items if item.kspace.any()), None)


def warn_of_origin(item: Slice) -> None:
    """Says where a slice has its zero frequency unless that is the centre of k-space."""
    axes = misplaced_axes(item.kspace)
    if axes:
        warn(f"{item.volume}: {describe_misplaced(axes)}")


def check_fully_sampled(source: Source, volumes: Collection[str]) -> None:
    """Checks `volumes` of a view as `FullySampled.check`, where one is among what it is made of."""
    while isinstance(source, View):
        if isinstance(source, FullySampled):
            return source.check(volumes)
        source = source.source


class Thinned(View):
    """The slices `start:stop:step` of every volume of `source`, as Python counts them.

    A volume of which nothing is left raises UserError naming it.
    """

    def __init__(self, source: Source, slices: str):
        super().__init__(source)
        part = slice(*(int(n) if n else None for n in slices.split(":")))
        volumes = rows_of(source.slices)
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
            encoded=_kept_columns(item, size),
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
            encoded=_kept_columns(item, self.size),
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

    The estimate uses the central `fraction` of the columns, or where masks are of `points` the
    ellipse of that fraction of height and width; the fully sampled centre where a slice comes
    undersampled: nothing that a scan would not measure.
    """

    def __init__(self, source: Source, *, fraction: float = 0.08, points: bool = False):
        super().__init__(source)
        self.fraction, self.points = fraction, points

    def read(self, i: int) -> Slice:
        """The slice `slices[i]` with `sens`."""
        item = self.source.read(i)
        if self.slices[i].coils == 1 or item.sens is not None:
            return item
        return item._replace(sens=estimate_maps(item.kspace, self._window(item)))

    def _window(self, item: Slice) -> np.ndarray:
        shape = item.kspace.shape[-2:]
        fraction, points = self.fraction, self.points
        if item.mask is not None:
            points = item.mask.ndim == 2
            fraction = center_share(item.mask) if points else center_run(item.mask) / shape[1]
        if points:
            return ellipse_window(shape, max(fraction, LEAST_CENTER / min(shape)))
        return column_window(shape, max(round(fraction * shape[1]), LEAST_CENTER))


class CoilCombined(View):
    """Emulated single-coil slices: k-space of the combined image, F Σ_c s̄_c F⁻¹(k_c).

    `source` must give maps s with several coils; slices of one coil pass unchanged. It differs
    from the emulated single coil (ESC) of fastMRI (Tygert and Zbontar 2020): that one fits one
    complex weight per coil to the root sum of squares and so has the shading of a real coil, this
    one weights every pixel and leaves the image without the coils. Its weights mix columns of
    k-space, hence no column is empty afterwards, and volumes that are undersampled already raise
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
        kspace = centered_fft2(combine_coils(item.kspace, item.sens))
        return item._replace(kspace=kspace, sens=None, encoded=None)


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


def center_share(mask: np.ndarray) -> float:
    """The diameters of the largest ellipse about the centre (H // 2, W // 2) all of whose points
    `mask` bool (H, W) has, as a fraction of height and width; at most 1."""
    y, x = (2 * (np.arange(n) - n // 2) / n for n in mask.shape)
    distance = np.sqrt(y[:, None] ** 2 + x**2)
    return float(distance[~mask].min(initial=1.0))


def _undersampled(ref: SliceRef, empty: str | None) -> str:
    found = "is undersampled already: a mask says so"
    if not ref.masked:
        found = f"is undersampled, though no mask says so: slice {ref.index} has {empty} empty"
    return (
        f"volume {ref.volume!r} {found}; expected fully sampled k-space, leave it out and apply "
        "the trained network to it with jaxnas reconstruct"
    )


def _pair(size: Size) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def _kept_columns(item: Slice, size: tuple[int, int]) -> np.ndarray | None:
    """Columns on a new grid are all encoded: each of them mixes all the old ones."""
    return item.encoded if item.kspace.shape[-1] == size[1] else None


def _shrunk(target: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    smaller = tuple(min(n, m) for n, m in zip(target.shape, size))
    return center_crop(target, smaller)


def _bytes(item: Slice) -> int:
    return sum(field.nbytes for field in item if isinstance(field, np.ndarray))
