"""Scores of a segmentation against the truth: Dice, Hausdorff distance, volumes, ejection fraction.

Segmentations are integer labels on one grid, whole volumes (Z, H, W): a score per slice would be
inflated by the empty slices beyond apex and base. What is undefined is NaN, for the caller to leave
out and to count, as nnU-Net does: a class that neither side has scores nothing, not 1. numpy and
scipy, float64.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

PERCENTILE = 95.0
MM3_PER_ML = 1000.0


def dice(truth: np.ndarray, prediction: np.ndarray, labels: Sequence[int]) -> np.ndarray:
    """Dice 2 TP / (2 TP + FP + FN) of every label, float64 (len(labels),).

    NaN where neither side has the label, 0 where only one has it. ValueError for arrays of two
    shapes.

    >>> import numpy as np
    >>> import jaxnas
    >>> truth, found = np.array([[0, 1], [1, 1]]), np.array([[0, 1], [1, 0]])
    >>> jaxnas.dice(truth, found, [1]).tolist()
    [0.8]
    """
    truth, prediction = _pair(truth, prediction)
    scores = []
    for label in labels:
        a, b = truth == label, prediction == label
        total = np.count_nonzero(a) + np.count_nonzero(b)
        scores.append(2 * np.count_nonzero(a & b) / total if total else np.nan)
    return np.array(scores, np.float64)


def hd95(
    truth: np.ndarray,
    prediction: np.ndarray,
    labels: Sequence[int],
    spacing: Sequence[float],
) -> np.ndarray:
    """The 95 % Hausdorff distance in mm of every label, float64 (len(labels),).

        max(P₉₅{d(a, ∂B) : a ∈ ∂A}, P₉₅{d(b, ∂A) : b ∈ ∂B}),

    the larger of the two directed percentiles, which is MONAI's convention: a one-sided error is
    not diluted by the good side, as it is in medpy's percentile of all distances together. ∂A are
    the voxels of A with a face neighbour outside A; outside of the grid is outside of A, except
    across an axis of a single voxel. `spacing` is mm per axis. NaN where either side lacks the
    label. ValueError for two shapes, or another number of spacings than of axes.

    >>> import numpy as np
    >>> import jaxnas
    >>> truth = np.zeros((9, 9), int)
    >>> truth[2:5, 2:5] = 1
    >>> jaxnas.hd95(truth, np.roll(truth, 2, axis=1), [1], (1.5, 1.5)).tolist()
    [3.0]
    """
    truth, prediction = _pair(truth, prediction)
    sampling = np.asarray(spacing, np.float64)
    if sampling.shape != (truth.ndim,):
        raise ValueError(f"expected {truth.ndim} spacings, got {sampling.tolist()}")
    return np.array([_hd95(truth == k, prediction == k, sampling) for k in labels], np.float64)


def surface(mask: np.ndarray) -> np.ndarray:
    """The voxels of a bool mask with a face neighbour outside it; see `hd95` for the border."""
    thick = tuple(n for n in mask.shape if n > 1)
    inner = mask.reshape(thick)
    return (inner & ~ndimage.binary_erosion(inner)).reshape(mask.shape) if thick else mask


def volume_ml(labels: np.ndarray, spacing: Sequence[float], *, label: int) -> float:
    """The volume of one label in ml; `spacing` is mm per axis."""
    return float(np.count_nonzero(labels == label) * np.prod(spacing) / MM3_PER_ML)


def ejection_fraction(diastole: float, systole: float) -> float:
    """The ejection fraction 100 (V_ED − V_ES) / V_ED in %; NaN for an empty diastole."""
    return 100.0 * (diastole - systole) / diastole if diastole else float("nan")


def pearson(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's correlation over the pairs of which both are finite.

    NaN for fewer than two pairs, or where one side does not vary.
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _hd95(a: np.ndarray, b: np.ndarray, spacing: np.ndarray) -> float:
    if not a.any() or not b.any():
        return float("nan")
    # All distances lie inside the box around both; the transforms of the whole grid are dear.
    box = next(filter(None, ndimage.find_objects((a | b).astype(np.int8))))
    surface_a, surface_b = surface(a)[box], surface(b)[box]

    def directed(source: np.ndarray, target: np.ndarray) -> float:
        distances = np.asarray(ndimage.distance_transform_edt(~target, sampling=spacing))
        return float(np.percentile(distances[source], PERCENTILE))

    return max(directed(surface_a, surface_b), directed(surface_b, surface_a))


def _pair(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays, after checking that they are labels of one shape."""
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"expected labels of one shape, got {truth.shape} and {prediction.shape}")
    for side in (truth, prediction):
        if not (np.issubdtype(side.dtype, np.integer) or side.dtype == bool):
            raise ValueError(f"expected integer labels, got {side.dtype}")
    return truth, prediction
