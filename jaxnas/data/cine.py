"""Beating hearts in short axis: the classes of their labels, moments of the cycle, and cines."""

from typing import Literal, NamedTuple

import numpy as np

from jaxnas.data.annotation import BACKGROUND, LabeledVolume

HEART_LABELS = (BACKGROUND, "rv", "myo", "lv")  # as the ACDC challenge numbers them
HEART_CAVITIES = ("rv", "lv")
ED, ES = "ED", "ES"  # end-diastole and end-systole; other moments are called frame07

# Which volumes of a cine a source has: every labelled frame, or ED and ES alone.
Phases = Literal["all", "ed_es"]


class Cine(NamedTuple):
    """A beating heart: `frames` float32 (T, Z, H, W), spacing and affine as of LabeledVolume."""

    frames: np.ndarray
    spacing: tuple[float, float, float]
    affine: np.ndarray | None

    def volume(self, t: int, name: str) -> LabeledVolume:
        """Frame `t` (from 0) as a volume without labels, called `name`_frameTT from 01."""
        phase = f"frame{t + 1:02d}"
        return LabeledVolume(
            self.frames[t], None, self.spacing, self.affine, f"{name}_{phase}", name, phase
        )
