"""An embedded source of another organ than the heart: bellies with a liver and two kidneys.

Volumes are axial stacks, a pure function of the seed. Intensities are whole numbers, as a
scanner's.
"""

from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import BACKGROUND, LabeledRef, LabeledVolume
from jaxnas.data.thorax import paint
from jaxnas.data.waves import Waves, draw_waves

_FIELD = 340.0  # mm along the shorter side of an image
_HEIGHT = 180.0  # mm from the lowest slice to the highest
_SIGNALS = {"fat": 0.85, "muscle": 0.28, "bowel": 0.5, "liver": 0.42, "kidney": 0.66, "bone": 0.2}


class _Ellipsoid(NamedTuple):
    """An organ: its centre and semi-axes (z, y, x) in mm from the middle of the belly."""

    label: int
    tissue: str
    centre: np.ndarray
    radii: np.ndarray


class _Belly(NamedTuple):
    """Everything of one person."""

    width: np.ndarray
    signals: dict[str, float]
    organs: tuple[_Ellipsoid, ...]
    outline: Waves
    texture: Waves
    bias: Waves
    gain: float
    noise: float


class OrganSource:
    """Patients with a `liver` and a pair of kidneys, labelled `kidney`; one volume each.

    Volume p depends on (seed, p) and the sizes alone; nothing is stored.
    """

    labels = (BACKGROUND, "liver", "kidney")

    def __init__(self, *, patients: int, slices: int, size: tuple[int, int], seed: int = 0):
        """`size` is (H, W), at least 16."""
        if min(patients, slices) < 1 or min(size) < 16:
            raise UserError(
                f"embedded organs: found {patients} patients, {slices} slices and a size of "
                f"{size}; expected at least 1, 1 and 16, raise what is less"
            )
        self.shape, self.seed = (slices, *size), seed
        names = [f"case_{p + 1:03d}" for p in range(patients)]
        self.volumes = tuple(LabeledRef(name, name, "", self.shape) for name in names)

    def read(self, i: int) -> LabeledVolume:
        """The volume `volumes[i]`."""
        rng = np.random.default_rng((self.seed, i))
        belly, ref = _draw(rng), self.volumes[i]
        pixel = _FIELD / min(self.shape[1:])
        spacing = (_HEIGHT / self.shape[0], pixel, pixel)
        y, x = ((np.arange(n) - (n - 1) / 2) * pixel for n in self.shape[1:])
        heights = (np.arange(self.shape[0]) - (self.shape[0] - 1) / 2) * spacing[0]
        planes = [_render(belly, z, y, x, pixel=pixel) for z in heights]
        image = np.stack([image for image, _ in planes])
        re, im = belly.noise * rng.standard_normal((2, *image.shape))
        image = np.rint(belly.gain * np.hypot(image + re, im)).astype(np.float32)
        labels = np.stack([labels for _, labels in planes])
        # Rows run from front to back, columns from the patient's right to the left.
        affine = np.diag([-pixel, -pixel, spacing[0], 1.0])
        return LabeledVolume(image, labels, spacing, affine, ref.name, ref.patient, ref.phase)


def _draw(rng: np.random.Generator) -> _Belly:
    def near(*centre: float, spread: float = 8.0) -> np.ndarray:
        return np.array(centre) + rng.uniform(-spread, spread, 3)

    def grown(*radii: float) -> np.ndarray:
        return np.array(radii) * np.exp(rng.normal(0, 0.1, 3))

    kidneys = [
        _Ellipsoid(2, "kidney", near(-15, 42, side * 58), grown(52, 24, 25)) for side in (-1, 1)
    ]
    liver = _Ellipsoid(1, "liver", near(35, -12, -48), grown(62, 58, 72))
    return _Belly(
        width=grown(1, 96, 140)[1:],
        signals={name: s * np.exp(rng.normal(0, 0.1)) for name, s in _SIGNALS.items()},
        organs=(liver, *kidneys),
        outline=draw_waves(rng, (60, 200)),
        texture=draw_waves(rng, (12, 60)),
        bias=draw_waves(rng, (200, 500), n=16),
        gain=float(np.exp(rng.uniform(np.log(150), np.log(900)))),
        noise=float(rng.uniform(0.015, 0.04)),
    )


def _render(
    belly: _Belly, z: float, y: np.ndarray, x: np.ndarray, *, pixel: float
) -> tuple[np.ndarray, np.ndarray]:
    """A slice at height `z` without noise, and its labels uint8, both (H, W)."""
    signals, wave = belly.signals, 4 * belly.outline(y, x, z)
    texture = 1 + 0.08 * belly.texture(y, x, z)
    plane = (y[:, None], x[None, :])
    skin = _distance(plane, np.zeros(2), belly.width) + wave
    image, labels = np.zeros(skin.shape), np.zeros(skin.shape, np.uint8)
    for depth, tissue in ((0, "fat"), (14, "muscle"), (24, "bowel")):
        paint(image, skin + depth, signals[tissue] * texture, pixel=pixel)
    spine = _distance(plane, np.array([62.0, 0.0]), np.array([19.0, 24.0]))
    paint(image, spine, signals["bone"], pixel=pixel)
    for organ in belly.organs:
        share = 1 - ((z - organ.centre[0]) / organ.radii[0]) ** 2
        if share <= 0:
            continue
        inside = _distance(plane, organ.centre[1:], organ.radii[1:] * np.sqrt(share)) + wave
        inside = np.maximum(inside, skin + 24)  # within the wall of the belly
        paint(image, inside, signals[organ.tissue] * texture, pixel=pixel)
        labels[inside < 0] = organ.label
    return image * np.exp(0.25 * belly.bias(y, x, z)), labels


def _distance(plane, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Approximate distance in mm to an ellipse, negative inside, (H, W)."""
    (y, x), (a, b) = plane, radii
    k = np.hypot((y - centre[0]) / a, (x - centre[1]) / b)
    return (k - 1) * np.sqrt(a * b)
