"""Receive coils: simulated sensitivity maps, and maps estimated from the k-space centre."""

import numpy as np

from jaxnas.core.notices import warn
from jaxnas.data.transforms import centered_fft2, centered_ifft2
from jaxnas.data.waves import draw_waves

_UNIT_TOLERANCE = 1e-3  # how far Σ|s|² may be from 1 before it is another normalisation


def coil_maps(shape: tuple[int, int], *, coils: int, seed: int | tuple[int, ...]) -> np.ndarray:
    """Smooth complex maps of `coils` elements on a ring, complex64 (C, H, W), Σ_c |s_c|² = 1.

    Each map falls off with the distance d from its element as 1 / (1 + (d/σ)²) and turns in
    phase across the object; `seed` moves the ring a little, as every patient lies differently.
    """
    rng = np.random.default_rng(seed)
    height, width = shape
    y = (np.arange(height)[:, None] - height // 2) / (height / 2)
    x = (np.arange(width)[None, :] - width // 2) / (width / 2)
    angles = 2 * np.pi * (np.arange(coils) + rng.uniform()) / coils
    maps = []
    for angle in angles + rng.normal(scale=0.05, size=coils):
        cy, cx = 1.15 * np.sin(angle), 1.15 * np.cos(angle)
        d2 = (y - cy) ** 2 + (x - cx) ** 2
        phase = angle + 0.9 * (np.sin(angle) * x - np.cos(angle) * y) + rng.uniform(-0.3, 0.3)
        maps.append(np.exp(1j * phase) / (1 + d2 / 0.55))
    return _normalised(np.stack(maps))


def smooth_phase(shape: tuple[int, int], *, seed: int | tuple[int, ...]) -> np.ndarray:
    """exp(iφ) with a smooth random φ of about one radian, complex64 (H, W)."""
    waves = draw_waves(np.random.default_rng(seed), (1.2, 4.0), n=24)
    height, width = shape
    y = np.arange(height) / (height / 2) - 1
    x = np.arange(width) / (width / 2) - 1
    return np.exp(1j * waves(y, x, 0.0)).astype(np.complex64)


def estimate_maps(kspace: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Sensitivity maps from the centre of (C, H, W) k-space, Σ_c |s_c|² = 1.

    Low-resolution coil images over their root sum of squares, s_c = g_c / √(Σ_c |g_c|²), where
    g is the inverse transform of k-space under a `window` (H, W) about the centre (McKenzie et al.
    2002), one of the two below. Only what an undersampled scan measures is used. The phase of s is
    the phase of g, so that the combined image Σ_c s̄_c x_c is nearly real.
    """
    return _normalised(centered_ifft2(kspace * window))


def column_window(shape: tuple[int, int], columns: int) -> np.ndarray:
    """A Hann window over the central `columns` and three times as many rows, float32 (H, W)."""
    height, width = shape
    return _hann(height, min(3 * columns, height))[:, None] * _hann(width, columns)


def ellipse_window(shape: tuple[int, int], fraction: float) -> np.ndarray:
    """A Hann window over the ellipse of `fraction` of height and width, float32 (H, W)."""
    y, x = (2 * (np.arange(n) - n // 2) / (n * fraction) for n in shape)
    distance = np.sqrt(y[:, None] ** 2 + x**2)
    return np.where(distance < 1, np.cos(np.pi / 2 * distance) ** 2, 0).astype(np.float32)


def unit_maps(maps: np.ndarray, *, where: str) -> np.ndarray:
    """Maps (C, H, W) scaled pixel by pixel to Σ_c |s_c|² = 1, which data consistency relies on.

    Maps that are so already are returned as they are, pixels where all are zero stay zero. Other
    ones, such as those scaled to a largest value of 1, are said once per `where`, their source.
    """
    peak = _peak(maps)
    power = np.square(np.abs(maps / peak)).sum(axis=0, dtype=np.float64) * float(peak) ** 2
    if np.all(np.abs(power[power > 0] - 1) < _UNIT_TOLERANCE):
        return maps
    warn(f"{where}: coil maps are not of Σ|s|² = 1; they are divided by √Σ|s|² where not zero")
    return _normalised(maps)


def combine_coils(kspace: np.ndarray, sens: np.ndarray) -> np.ndarray:
    """The coil-combined image Σ_c s̄_c F⁻¹(k_c), complex64 (H, W)."""
    return np.sum(np.conj(sens) * centered_ifft2(kspace), axis=0)


def expand_coils(image: np.ndarray, sens: np.ndarray) -> np.ndarray:
    """The k-space F(s_c x) of every coil, complex64 (C, H, W)."""
    return centered_fft2(sens * image)


def _hann(size: int, support: int) -> np.ndarray:
    """A Hann window of `support` samples in the centre of `size` zeros, float32."""
    distance = np.abs(np.arange(size) - size // 2) / (support / 2)
    return np.where(distance < 1, np.cos(np.pi / 2 * distance) ** 2, 0).astype(np.float32)


def _normalised(maps: np.ndarray) -> np.ndarray:
    maps = maps / _peak(maps)  # or squares leave float32
    power = np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))
    tiny = np.finfo(np.float32).tiny
    return (maps / np.maximum(power, tiny)).astype(np.complex64)


def _peak(maps: np.ndarray) -> np.float32:
    """A power of two, by which dividing rounds nothing, near the largest |s|."""
    return np.float32(np.ldexp(1.0, np.frexp(np.abs(maps).max())[1]))
