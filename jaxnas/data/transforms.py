"""Arrays of a file made ready for use: float32 or complex64, with zero frequency in the centre.

And their Fourier transforms, crops and pads, as NumPy arrays; complex64 in, complex64 out.
"""

from typing import Any

import numpy as np
from scipy import fft

from jaxnas.core.errors import UserError

IMAGE_AXES = (-2, -1)
CLEARLY = 2.0  # how much more energy the edges hold where the zero frequency is there
LARGEST = 1e34  # sums over an image stay below the end of float32, 3.4e38
SMALLEST = 1e-34  # and the dimmest pixels above its beginning, 1.2e-38


def centered_fft2(image: np.ndarray) -> np.ndarray:
    """Image (..., H, W) to k-space; unitary, zero frequency at index n // 2."""
    return fft.fftshift(fft.fft2(fft.ifftshift(image, IMAGE_AXES), norm="ortho"), IMAGE_AXES)


def centered_ifft2(kspace: np.ndarray) -> np.ndarray:
    """K-space (..., H, W) to image; the inverse and the adjoint of centered_fft2."""
    return fft.fftshift(fft.ifft2(fft.ifftshift(kspace, IMAGE_AXES), norm="ortho"), IMAGE_AXES)


def center_crop(array: Any, size: tuple[int, int]) -> Any:
    """The central (h, w) of (..., H, W); a view that starts at ((H - h) // 2, (W - w) // 2).

    This is the fastMRI crop. A size larger than the array raises UserError.
    """
    check_crop(array.shape[-2:], size)
    top, left = ((n - m) // 2 for n, m in zip(array.shape[-2:], size))
    return array[..., top : top + size[0], left : left + size[1]]


def crop_kspace(kspace: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """K-space of the centre-cropped complex image: F crop(F⁻¹ k), (..., H, W) -> (..., h, w).

    It removes readout oversampling and empty borders before undersampling, keeping the phase
    (Yan et al. 2020). A size larger than the image raises UserError.
    """
    check_crop(kspace.shape[-2:], size)
    # The transform is separable, so an axis that keeps its length needs no transform at all.
    for axis, length in zip(IMAGE_AXES, size):
        if kspace.shape[axis] != length:
            kspace = _crop_axis(kspace, axis, length)
    return kspace


def center_pad(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(..., H, W) within zeros of (h, w); what center_crop undoes.

    A size smaller than the array raises UserError.
    """
    check_pad(array.shape[-2:], size)
    widths = [_margins(n, m) for n, m in zip(array.shape[-2:], size)]
    return np.pad(array, [(0, 0)] * (array.ndim - 2) + widths)


def pad_kspace(kspace: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """K-space of the image within zeros: F pad(F⁻¹ k), (..., H, W) -> (..., h, w).

    A size smaller than the image raises UserError.
    """
    check_pad(kspace.shape[-2:], size)
    for axis, length in zip(IMAGE_AXES, size):
        if kspace.shape[axis] != length:
            kspace = _pad_axis(kspace, axis, length)
    return kspace


def move_origin(kspace: np.ndarray) -> np.ndarray:
    """Centred k-space (..., H, W) of an image whose first pixel was its origin, for the centre.

    K_j = k_j Π exp(2πi (j - n // 2) (n // 2) / n) over both axes of length n: the image that a
    plain inverse transform shows unshifted, and centered_ifft2 halved and swapped, is then shown
    unshifted by the latter. Samples keep their place and modulus.
    """
    for axis in IMAGE_AXES:
        n = kspace.shape[axis]
        turn = np.exp(2j * np.pi / n * (n // 2) * (np.arange(n) - n // 2)).astype(np.complex64)
        kspace = kspace * (turn[:, None] if axis == -2 else turn)
    return kspace


def check_crop(shape: tuple[int, int], size: tuple[int, int], *, name: str = "the image") -> None:
    """Raises UserError, naming `name`, unless `size` is positive and fits into `shape`."""
    if any(not 0 < m <= n for n, m in zip(shape, size)):
        raise UserError(
            f"{name}: cannot crop {shape[0]}×{shape[1]} pixels to {size[0]}×{size[1]}; "
            "expected a positive crop no larger than the image, choose a smaller one or none"
        )


def check_pad(shape: tuple[int, int], size: tuple[int, int], *, name: str = "the image") -> None:
    """Raises UserError, naming `name`, unless `shape` fits into `size`."""
    if any(m < n for n, m in zip(shape, size)):
        raise UserError(
            f"{name}: cannot pad {shape[0]}×{shape[1]} pixels to {size[0]}×{size[1]}; "
            "expected a size no smaller than the image, choose a larger one or crop"
        )


def centred(array: np.ndarray, origin: str, *, axes: tuple[int, ...] = IMAGE_AXES) -> np.ndarray:
    """K-space (..., H, W), or with `axes` (-1,) its columns, with zero frequency at n // 2.

    `origin` corner: it is at 0, as `fft2` leaves it.
    """
    return np.fft.fftshift(array, axes) if origin == "corner" else array


def misplaced_axes(kspace: np.ndarray) -> tuple[str, ...]:
    """The axes, `rows` or `columns`, of ([C,] H, W) without zero frequency in their middle.

    Anatomy has nearly all its energy at low frequencies, noise as much everywhere: along such an
    axis the outer half holds clearly more than the inner one. An axis below 8 says nothing.
    """
    power = np.square(np.abs(kspace) / max(np.abs(kspace).max(), np.finfo(np.float32).tiny))
    power = power.reshape(-1, *kspace.shape[-2:]).sum(axis=0)
    profiles = {"rows": power.sum(axis=1), "columns": power.sum(axis=0)}
    return tuple(name for name, profile in profiles.items() if _is_at_the_edge(profile))


def describe_misplaced(axes: tuple[str, ...]) -> str:
    """The sentence about misplaced axes, with what to do about it."""
    if len(axes) == 2:
        return (
            "zero frequency is in the corner of k-space, not in its centre; expected it there, "
            "read this data with the origin 'corner' (data.origin: corner, or --origin corner)"
        )
    return (
        f"zero frequency is at the edge of the {axes[0]} of k-space and in the middle of the other "
        "axis; expected it in the centre, or in the corner with data.origin: corner, shift the data"
    )


def narrowed(values: np.ndarray, *, where: str, index: int) -> np.ndarray:
    """`values` of slice `index` as float32 or complex64.

    NaN, infinity, and a slice whose largest number is out of reach of float32, which would come
    out as infinity or zeros, raise UserError with `where`, the name of the array.
    """
    parts = (np.real(values), np.imag(values)) if values.dtype.kind == "c" else (values,)
    peak = float(np.max([np.abs(part).max() for part in parts]))
    if not np.isfinite(peak):
        raise UserError(
            f"{where} has NaN or infinity in slice {index}; "
            "expected finite numbers, repair or leave out this file"
        )
    if peak and not SMALLEST <= peak <= LARGEST:
        raise UserError(
            f"{where} has numbers of up to {peak:.1e} in slice {index}, beyond float32; expected "
            f"a largest one between {SMALLEST:g} and {LARGEST:g}, multiply the data by a constant"
        )
    return values.astype(np.complex64 if len(parts) == 2 else np.float32, copy=False)


def _crop_axis(kspace: np.ndarray, axis: int, length: int) -> np.ndarray:
    image = _ifft1c(kspace, axis)
    start = (kspace.shape[axis] - length) // 2
    return _fft1c(image.take(range(start, start + length), axis=axis), axis)


def _pad_axis(kspace: np.ndarray, axis: int, length: int) -> np.ndarray:
    widths = [(0, 0)] * kspace.ndim
    widths[axis] = _margins(kspace.shape[axis], length)
    return _fft1c(np.pad(_ifft1c(kspace, axis), widths), axis)


def _margins(length: int, padded: int) -> tuple[int, int]:
    before = (padded - length) // 2
    return before, padded - length - before


def _fft1c(image: np.ndarray, axis: int) -> np.ndarray:
    return fft.fftshift(fft.fft(fft.ifftshift(image, axis), axis=axis, norm="ortho"), axis)


def _ifft1c(kspace: np.ndarray, axis: int) -> np.ndarray:
    return fft.fftshift(fft.ifft(fft.ifftshift(kspace, axis), axis=axis, norm="ortho"), axis)


def _is_at_the_edge(profile: np.ndarray) -> bool:
    n = len(profile)
    inner = profile[n // 4 : n // 4 + (n + 1) // 2].sum()
    return n >= 8 and profile.sum() - inner > CLEARLY * inner
