"""Random smooth fields as sums of plane waves: the same field at every resolution."""

from dataclasses import dataclass

import numpy as np

SINGLE_THREADED = 1 << 18  # multiplications in a product that OpenBLAS does not divide


@dataclass(frozen=True)
class Waves:
    """A unit-variance random field f(y, x, z) = √(2/n) Σᵢ cos(kᵢ·(y, x, z) + φᵢ).

    `vectors` (n, 3) are the wave vectors in radians per unit length, `phases` (n,) in radians.
    """

    vectors: np.ndarray
    phases: np.ndarray

    def __call__(self, y: np.ndarray, x: np.ndarray, z: float) -> np.ndarray:
        """The field on the grid of rows y (H,) and columns x (W,) at height z, float32 (H, W)."""
        # cos(a + b) = cos a cos b - sin a sin b makes the sum over waves one matrix product.
        ky, kx, kz = self.vectors.T
        a = np.outer(y, ky) + (kz * z + self.phases)
        b = np.outer(kx, x)
        left = np.concatenate([np.cos(a), -np.sin(a)], axis=1)
        right = np.concatenate([np.cos(b), np.sin(b)], axis=0)
        scale = np.sqrt(2 / len(self.phases))
        left, right = (scale * left).astype(np.float32), right.astype(np.float32)
        # Threads of BLAS that wait for one another cost more than such small products do.
        rows = max(1, SINGLE_THREADED // right.size)
        return np.concatenate([left[i : i + rows] @ right for i in range(0, len(left), rows)])


def draw_waves(rng: np.random.Generator, wavelengths: tuple[float, float], *, n: int = 48) -> Waves:
    """`n` isotropic waves whose lengths are log-uniform between the two `wavelengths`."""
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return Waves(*_scaled(rng, direction, wavelengths))


def draw_plane_waves(
    rng: np.random.Generator,
    wavelengths: tuple[float, float],
    *,
    angle: float,
    spread: float,
    n: int = 48,
) -> Waves:
    """Waves along the in-plane `angle` (radians from x to y), give or take a std of `spread`."""
    angles = angle + spread * rng.normal(size=n)
    rise = 0.4 * rng.normal(size=n)
    direction = np.stack([np.sin(angles), np.cos(angles), rise], axis=1)
    return Waves(*_scaled(rng, direction, wavelengths))


def _scaled(rng, direction, wavelengths):
    length = np.exp(rng.uniform(*np.log(wavelengths), size=(len(direction), 1)))
    return 2 * np.pi * direction / length, rng.uniform(0, 2 * np.pi, size=len(direction))
