"""Tissue signals: relaxation times at 3 T and the spin-echo equation of each sequence."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Tissue(NamedTuple):
    """Proton density (0..1) and relaxation times in milliseconds."""

    density: float
    t1: float
    t2: float


@dataclass(frozen=True)
class Sequence:
    """Repetition, echo and inversion time in milliseconds; no inversion where `ti` is None."""

    tr: float
    te: float
    ti: float | None = None

    def signal(self, tissue: Tissue) -> float:
        """Magnitude signal of a spin echo.

        S = ρ |1 - e^(-TR/T1)| e^(-TE/T2); after an inversion the middle factor becomes
        |1 - 2 e^(-TI/T1) + e^(-TR/T1)|.
        """
        recovered = 1 - np.exp(-self.tr / tissue.t1)
        if self.ti is not None:
            recovered = 1 - 2 * np.exp(-self.ti / tissue.t1) + np.exp(-self.tr / tissue.t1)
        return float(tissue.density * abs(recovered) * np.exp(-self.te / tissue.t2))

    def brightest(self) -> float:
        """The largest signal of any tissue."""
        return max(self.signal(tissue) for tissue in TISSUES.values())


TISSUES = {
    "skin": Tissue(0.75, 1100, 45),
    "fat": Tissue(0.62, 380, 75),
    "bone": Tissue(0.06, 900, 10),
    "marrow": Tissue(0.55, 550, 55),
    "csf": Tissue(1.00, 4200, 1200),
    "grey": Tissue(0.84, 1450, 95),
    "white": Tissue(0.66, 850, 74),
    "deep": Tissue(0.80, 1200, 74),
    "lesion": Tissue(0.85, 1600, 175),
    "blood": Tissue(0.25, 1700, 40),
}

SEQUENCES = {
    "T1": Sequence(tr=2000, te=10, ti=1000),
    "T2": Sequence(tr=5000, te=95),
    "FLAIR": Sequence(tr=9000, te=100, ti=2500),
    "PD": Sequence(tr=3000, te=18),
}
