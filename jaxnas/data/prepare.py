"""The way from a scanned volume to slices as a network sees them, and from its answer back."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import LabeledVolume
from jaxnas.data.transforms import center_crop, center_pad

_SAME = 1e-4  # relative difference of spacings below which pixels stay as they are
FACTOR = 8.0  # by which no slice is magnified, there or back: such a voxel size is a wrong unit


@dataclass(frozen=True)
class Preparation:
    """Brings volumes to one pixel size, one intensity range and one matrix size.

    Attributes:
      spacing: of the pixels in mm, in both directions; None keeps those of the file. Slices are
        never interpolated between.
      size: (h, w) of the centre crop; smaller slices lie within zeros. It knows nothing of labels.
      clip: percentiles of a volume to which its intensities are clipped.
    """

    spacing: float | None = 1.5
    size: tuple[int, int] = (160, 160)
    clip: tuple[float, float] = (1.0, 99.0)

    def __post_init__(self):
        """ValueError for a spacing, a size or percentiles that cannot be."""
        low, high = self.clip
        if not 0 <= low < high <= 100:
            raise ValueError(f"expected percentiles 0 <= low < high <= 100, found {self.clip}")
        if min(self.size) < 1 or (self.spacing is not None and not self.spacing > 0):
            raise ValueError(f"expected a positive size and spacing, found {self}")

    def forward(self, volume: LabeledVolume) -> tuple[np.ndarray, np.ndarray | None]:
        """Image float32 (Z, h, w), labels uint8 (Z, h, w) or None.

        The whole volume is clipped, then brought to mean 0 and variance 1. Labels are resampled as
        the probabilities that they are, and the largest one wins. UserError as `check` says.
        """
        self.check(volume.name, volume.spacing)
        image, labels = _normalised(volume.image, self.clip), volume.labels
        grid, steps = self._grid(volume)
        if steps != (1.0, 1.0):
            image = _resampled(_smoothed(image, steps), grid, steps)
            if labels is not None:
                labels = _largest(_resampled(_indicators(labels), grid, steps))
        prepared = _fitted(image, self.size)
        return prepared, None if labels is None else _fitted(labels, self.size)

    def check(self, name: str, spacing: tuple[float, float, float]) -> None:
        """UserError for a volume `name` whose pixels (dz, dy, dx) are not of the size of these."""
        if self.spacing is None:
            return
        low, high = self.spacing / FACTOR, self.spacing * FACTOR
        if not all(low <= size <= high for size in spacing[-2:]):
            found = " × ".join(f"{size:.4g}" for size in spacing[-2:])
            raise UserError(
                f"{name}: has pixels of {found} mm, to be resampled to {self.spacing:g} mm, more "
                f"than {FACTOR:g} times as many or as few; expected {low:.4g} to {high:.4g} mm, "
                "correct the voxel size or its unit in the header, or data.spacing"
            )

    def inverse(self, probabilities: np.ndarray, volume: LabeledVolume) -> np.ndarray:
        """Labels uint8 (Z, H, W) on the grid of `volume`, from probabilities (Z, h, w, K) >= 0.

        Probabilities are resampled and then compared, for labels cannot be interpolated. What the
        crop had cut off is background.
        """
        expected = (len(volume.image), *self.size)
        if np.ndim(probabilities) != 4 or np.shape(probabilities)[:3] != expected:
            raise ValueError(
                f"expected probabilities of shape {expected} and classes, "
                f"found {np.shape(probabilities)}"
            )
        # With the classes in front every one of them is an image in one piece.
        scores = np.ascontiguousarray(np.moveaxis(probabilities, -1, 0), np.float32)
        grid, steps = self._grid(volume)
        # Zeros for every class where nothing is known: the first of equal ones is background.
        scores = _fitted(scores, grid)
        if steps != (1.0, 1.0):
            scores = _resampled(scores, volume.image.shape[-2:], (1 / steps[0], 1 / steps[1]))
        return _largest(scores)

    def _grid(self, volume: LabeledVolume) -> tuple[tuple[int, int], tuple[float, float]]:
        """Pixels (h, w) that cover the slices at `spacing`, and their size in pixels of the file.

        The size is 1.0 exactly where the pixels of the file are kept.
        """
        _, height, width = volume.image.shape
        steps = [1.0 if self.spacing is None else self.spacing / size for size in volume.spacing]
        _, down, across = (1.0 if abs(step - 1) < _SAME else step for step in steps)
        grid = max(round(height / down), 1), max(round(width / across), 1)
        return grid, (down, across)


def _normalised(image: np.ndarray, clip: tuple[float, float]) -> np.ndarray:
    image = np.clip(image, *np.percentile(image, clip)).astype(np.float32)
    if image.min() == image.max():  # no contrast to bring out; the mean may be off by a rounding
        return np.zeros_like(image)
    deviation = image.std(dtype=np.float64)
    return ((image - image.mean(dtype=np.float64)) / deviation).astype(np.float32)


def _smoothed(image: np.ndarray, steps: tuple[float, float]) -> np.ndarray:
    """`image` without the detail that pixels `steps` times as large cannot show."""
    for axis, step in zip((-2, -1), steps):
        if step > 1:
            image = gaussian_filter1d(image, (step - 1) / 2, axis=axis, mode="nearest")
    return image


def _resampled(
    images: np.ndarray, shape: tuple[int, int], steps: tuple[float, float]
) -> np.ndarray:
    """Images (..., H, W) interpolated linearly at `shape` points `steps` apart about the centre."""
    # One axis after the other is several times faster than scipy.ndimage, with the same result.
    low, high, weight = _neighbours(images.shape[-1], shape[1], steps[1])
    images = _between(images[..., low], images[..., high], weight)
    low, high, weight = _neighbours(images.shape[-2], shape[0], steps[0])
    return _between(images[..., low, :], images[..., high, :], weight[:, None])


def _neighbours(n: int, m: int, step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The places of m points `step` apart among n pixels: below, above, and how far between.

    Both rows have one centre. Points outside take the value of the edge.
    """
    place = np.clip((np.arange(m) - (m - 1) / 2) * step + (n - 1) / 2, 0, n - 1)
    low = place.astype(int)
    return low, np.minimum(low + 1, n - 1), (place - low).astype(np.float32)


def _between(low: np.ndarray, high: np.ndarray, weight: np.ndarray) -> np.ndarray:
    high -= low
    high *= weight
    high += low
    return high


def _indicators(labels: np.ndarray) -> np.ndarray:
    """float32 (K, Z, H, W), 1 where a pixel has the label, K − 1 being the largest there is."""
    return np.stack([labels == k for k in range(int(labels.max()) + 1)]).astype(np.float32)


def _largest(scores: np.ndarray) -> np.ndarray:
    return np.argmax(scores, axis=0).astype(np.uint8)


def _fitted(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images (..., H, W) cropped or within zeros, about the centre."""
    smaller = tuple(min(n, m) for n, m in zip(images.shape[-2:], size))
    return center_pad(center_crop(images, smaller), size)
