"""The surroundings of a heart in a short-axis image: chest wall, lungs, liver, aorta, spine."""

from dataclasses import dataclass

import numpy as np

from jaxnas.data.waves import Waves, draw_waves

# Relative brightness in balanced steady-state images, in which heart studies are made.
_SIGNALS = {
    "blood": 0.92,
    "myocardium": 0.36,
    "fat": 0.80,
    "muscle": 0.30,
    "lung": 0.07,
    "liver": 0.40,
    "bone": 0.24,
}


@dataclass(frozen=True)
class Thorax:
    """One person's chest; positions in mm from the centre of the image, y downwards."""

    signals: dict[str, float]
    chest: float
    fat: float
    tilt: float
    dome: float
    aorta: tuple[float, float, float]
    spine: tuple[float, float]
    shape: Waves
    vessels: Waves
    grain: Waves


def draw_thorax(rng: np.random.Generator) -> Thorax:
    """A random person; every tissue has a brightness of its own."""
    return Thorax(
        signals={name: s * np.exp(rng.normal(0, 0.13)) for name, s in _SIGNALS.items()},
        chest=rng.uniform(62, 86),
        fat=rng.uniform(6, 22),
        tilt=rng.uniform(-0.35, 0.35),
        dome=rng.uniform(20, 60),
        aorta=(rng.uniform(44, 66), rng.uniform(10, 44), rng.uniform(9, 13)),
        spine=(rng.uniform(78, 98), rng.uniform(-22, 14)),
        shape=draw_waves(rng, (45, 140)),
        vessels=draw_waves(rng, (9, 26), n=64),
        grain=draw_waves(rng, (5, 30), n=64),
    )


def paint(image: np.ndarray, distance: np.ndarray, signal, *, pixel: float) -> None:
    """Covers in place what has negative `distance` mm (H, W) with `signal`.

    Pixels of `pixel` mm on the boundary are covered in part.
    """
    image += (signal - image) * np.clip(0.5 - distance / pixel, 0, 1)


def render_thorax(
    thorax: Thorax, y: np.ndarray, x: np.ndarray, *, height: float, pixel: float
) -> np.ndarray:
    """The chest without a heart, float32 (H, W), at rows `y` (H,) and columns `x` (W,) in mm.

    `height` is mm from the base of the heart downwards.
    """
    signals = thorax.signals
    wave = thorax.shape(y, x, height)
    texture = 1 + 0.10 * thorax.grain(y, x, height)
    ys, xs = y[:, None] + thorax.tilt * x[None, :], np.broadcast_to(x[None, :], wave.shape)
    image = np.zeros(wave.shape)
    # The front of the chest is a gently curved line: air, fat, muscle, then the inside.
    depth = ys + thorax.chest - 0.0016 * xs**2 + 3 * wave
    paint(image, -depth, signals["fat"] * texture, pixel=pixel)
    paint(image, thorax.fat - depth, signals["muscle"] * texture, pixel=pixel)
    vessels = np.clip(thorax.vessels(y, x, height) - 1.4, 0, 0.5)
    lung = signals["lung"] + vessels * signals["blood"]
    paint(image, thorax.fat + 14 + 3 * wave - depth, lung, pixel=pixel)
    # The mediastinum between the lungs, the liver below the diaphragm.
    middle = np.abs(xs + 8) - 30 - 10 * wave
    paint(image, np.maximum(middle, 20 - ys), signals["fat"] * 0.8 * texture, pixel=pixel)
    dome = thorax.dome - 0.35 * height + 0.25 * np.abs(xs + 45)
    liver = np.maximum(dome - ys + 6 * wave, xs - 30)
    paint(image, liver, signals["liver"] * texture, pixel=pixel)
    _paint_spine(image, thorax, ys, xs, pixel)
    return image.astype(np.float32)


def _paint_spine(image, thorax, ys, xs, pixel):
    """Vertebra, muscles beside it, and the aorta in front."""
    signals, (row, column) = thorax.signals, thorax.spine
    beside = np.hypot((ys - row - 22) / 1.0, (xs - column) / 1.8) - 26
    paint(image, beside, signals["muscle"], pixel=pixel)
    paint(image, np.hypot(ys - row, xs - column) - 19, signals["bone"] * 1.3, pixel=pixel)
    row, column, radius = thorax.aorta
    from_centre = np.hypot(ys - row, xs - column)
    paint(image, from_centre - radius - 2, signals["myocardium"], pixel=pixel)
    paint(image, from_centre - radius, signals["blood"], pixel=pixel)
