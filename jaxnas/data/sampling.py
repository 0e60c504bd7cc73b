"""Empty, padded, masked, undersampled: what was measured of a slice, told in this one place.

Scanners leave zeros where they measured nothing, and files do not always say so. What a slice's
k-space holds in any coil decides:

- a slice of nothing but zeros is empty and says nothing about sampling;
- zeros at the sides, on one side (partial Fourier) or in the corners were never encoded, and some
  dead lines inside are lost: the slice still counts as fully sampled, these columns stay empty and
  a simulated mask is drawn over the others;
- more than `HOLES` of the samples empty *between* filled ones, along rows or columns, or filled
  samples that leave out the centre or more than half of an axis: the slice is undersampled,
  whether or not a mask says so.

Rows that a short readout left empty are zeros of their columns, which count as measured.
"""

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.source import Slice

HOLES = 0.1  # of the encoded samples; undersampling starts far above, spikes end far below
CONTRADICTION = 0.2  # of the samples a mask names: more of them empty, and it is another scan's


def examined(item: Slice, *, where: str) -> Slice:
    """`item` as a file gives it, completed by what its k-space shows.

    An undersampled slice has `mask` afterwards, the measured columns (W,) or samples (H, W),
    whether the file brought one or not; a fully sampled one has `encoded` where columns are empty.
    `where` names the array in the UserError for a mask that its k-space contradicts.
    """
    filled = filled_samples(item.kspace)
    whole = item.mask is None and item.encoded is None and filled.all()
    if whole or not filled.any():
        return item
    if item.mask is not None:
        _check_mask(item, item.mask, filled, where)
        return item._replace(mask=item.mask & _like(item.mask, filled))
    columns = np.any(filled, axis=0)
    if is_fully_sampled(filled, encoded=item.encoded):
        kept = columns if item.encoded is None else columns & item.encoded
        return item._replace(encoded=None if kept.all() else kept)
    by_column = np.array_equal(filled, np.any(filled, axis=1)[:, None] & columns)
    return item._replace(mask=columns if by_column and not _gaps(filled, 0).any() else filled)


def filled_samples(kspace: np.ndarray) -> np.ndarray:
    """True where any coil of ([C,] H, W) holds something, bool (H, W)."""
    filled = (np.real(kspace) != 0) | (
        np.imag(kspace) != 0
    )  # NumPy compares complex numbers slowly
    return filled if filled.ndim == 2 else np.any(filled, axis=0)


def is_fully_sampled(filled: np.ndarray, *, encoded: np.ndarray | None = None) -> bool:
    """True if `filled` bool (H, W) is a whole scan, up to what was never encoded and dead lines.

    `encoded` bool (W,) are the columns that a header says were, None all.
    """
    if encoded is not None:
        left, right = np.flatnonzero(encoded)[[0, -1]]
        spans = (filled.shape[0], right + 1 - left)
    else:
        spans = filled.shape
    if filled.all():
        return True
    if not all(_covers(np.any(filled, axis=1 - axis), spans[axis]) for axis in (0, 1)):
        return False
    held = filled[_box(filled)]
    if held.all():
        return True
    holes = np.count_nonzero(_gaps(held, 0) | _gaps(held, 1))
    return bool(holes <= HOLES * (holes + np.count_nonzero(held)))


def empty_share(mask: np.ndarray) -> str:
    """The share that a mask (W,) or (H, W) leaves out, in words: `46 of its 64 columns (72%)`."""
    lines = {"columns": mask if mask.ndim == 1 else np.any(mask, axis=0)}
    if mask.ndim == 2:
        lines |= {"rows": np.any(mask, axis=1), "samples": mask.ravel()}
    kind = next((kind for kind, line in lines.items() if not _whole(line)), next(reversed(lines)))
    line = lines[kind]
    return f"{np.count_nonzero(~line)} of its {line.size} {kind} ({np.mean(~line):.0%})"


def _whole(line: np.ndarray) -> bool:
    return bool(_covers(line, line.size) and np.mean(_gaps(line, 0)) <= HOLES)


def _covers(line: np.ndarray, span: int) -> bool:
    """True if the filled part of `line` bool (n,) contains its centre and half of `span`."""
    held = _span(line)
    return held.start <= len(line) // 2 < held.stop and 2 * (held.stop - held.start) >= span - 1


def _gaps(filled: np.ndarray, axis: int) -> np.ndarray:
    """The empty samples that have filled ones on both sides along `axis`."""
    before = np.logical_or.accumulate(filled, axis=axis)
    after = np.flip(np.logical_or.accumulate(np.flip(filled, axis), axis=axis), axis)
    return before & after & ~filled


def _check_mask(item: Slice, mask: np.ndarray, filled: np.ndarray, where: str) -> None:
    """UserError where k-space is zero in much of what the mask says was sampled, or, being
    undersampled itself, holds much of what the mask says is missing.

    Only what lies between the first and the last filled line counts: a mask may name padding.
    """
    box = _box(filled)
    named, held = np.broadcast_to(mask, filled.shape)[box], filled[box]
    lost = np.count_nonzero(named & ~held) / max(np.count_nonzero(named), 1)
    beyond = 0 if is_fully_sampled(filled) else np.mean(~named[held])
    if max(lost, beyond) > CONTRADICTION or not named.any():
        raise UserError(
            f"{where} is zero in {lost:.0%} of what the mask of slice {item.index} says was "
            f"sampled, and {beyond:.0%} of what it holds is missing there; expected 1 for measured "
            "and 0 for missing, invert the mask or write the one of this scan"
        )


def _box(filled: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns from the first to the last one of (H, W) that hold anything."""
    return _span(np.any(filled, axis=1)), _span(np.any(filled, axis=0))


def _span(line: np.ndarray) -> slice:
    """The places from the first to the last filled one of `line` bool (n,)."""
    first, last = np.flatnonzero(line)[[0, -1]]
    return slice(first, last + 1)


def _like(mask: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """`filled` (H, W) as columns where `mask` is."""
    return np.any(filled, axis=0) if mask.ndim == 1 else filled
