"""The cost of a narrow compute dtype in image quality, measured before it is deployed."""

from collections.abc import Sequence

import numpy as np

from jaxnas.data.source import Source
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.reconstruction.scoring import ReconstructionMethod, evaluate_reconstruction

BUDGET_DB = 0.01
CHECKED = 8  # slices, spread evenly over those given

WIDE, NARROW = "wide", "narrow"


def psnr_change(
    wide: ReconstructionMethod,
    narrow: ReconstructionMethod,
    source: Source,
    indices: Sequence[int],
    acquisition: AcquisitionConfig,
    *,
    batch: int = 4,
) -> float:
    """The distance of the mean PSNR of `narrow` from that of `wide`, in dB, never negative.

    The largest difference over the accelerations, on at most `CHECKED` of the slices `indices` of
    `source`; infinite where an image of `narrow` is not finite. UserError as
    `evaluate_reconstruction` raises it.
    """
    spread = np.linspace(0, len(indices) - 1, min(CHECKED, len(indices))).round().astype(int)
    chosen = [indices[i] for i in spread]
    methods = {WIDE: wide, NARROW: narrow}
    scores = evaluate_reconstruction(methods, source, chosen, acquisition, batch=batch).slices
    changes = []
    for acceleration in {score.acceleration for score in scores}:
        psnr = {
            name: np.mean(
                [s.psnr for s in scores if (s.model, s.acceleration) == (name, acceleration)]
            )
            for name in methods
        }
        changes.append(abs(psnr[NARROW] - psnr[WIDE]))
    change = float(max(changes, default=np.inf))
    return change if np.isfinite(change) else float("inf")
