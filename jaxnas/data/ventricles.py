"""Two ventricles that beat: signed distances to their walls, in mm, at any point and moment.

The left ventricle is a thick-walled half-ellipsoid, the right one a crescent on its septum. Height
z runs from 0 at the base to 1 at the apex of the resting heart, contraction `a` from 0 at
end-diastole to 1 at end-systole. Muscle is incompressible: as the cavity narrows the wall thickens.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

CLOSED = 0.95  # height at which the left cavity ends
TIP = 1.06  # height at which its muscle ends
RV_END = 0.84  # height at which the right cavity ends
THIN = 3.0  # mm; a right cavity that is thinner is closed


class Shape(NamedTuple):
    """Ranges of what a diagnosis changes.

    Radius of the left cavity and wall thickness in mm, width of the right cavity in mm, and the
    share of the left radius that is lost at end-systole.
    """

    radius: tuple[float, float]
    wall: tuple[float, float]
    right: tuple[float, float]
    squeeze: tuple[float, float]


# ACDC: normal, infarction, dilated and hypertrophic disease, abnormal right ventricle.
PATIENT_GROUPS = {
    "NOR": Shape((22, 27), (7.5, 9.5), (22, 30), (0.30, 0.38)),
    "MINF": Shape((25, 31), (7.0, 9.0), (22, 30), (0.16, 0.24)),
    "DCM": Shape((30, 36), (6.5, 8.5), (22, 34), (0.07, 0.14)),
    "HCM": Shape((19, 24), (11.0, 15.0), (18, 26), (0.36, 0.44)),
    "RV": Shape((20, 25), (7.0, 9.0), (34, 42), (0.26, 0.34)),
}


@dataclass(frozen=True)
class Ventricles:
    """One heart at rest; lengths in mm, angles in radians.

    `angle` points from the left to the right ventricle. `ripples` (n, 2) are amplitude and phase of
    the harmonics 2, 3, ... of the outline; the sector `scar` (centre, width) moves less.
    """

    angle: float
    radius: float
    wall: float
    right: float
    squeeze: float
    descent: float
    ripples: np.ndarray
    right_ripples: np.ndarray
    right_shift: float
    scar: tuple[float, float] | None


class Walls(NamedTuple):
    """Distances in mm (H, W), negative inside: left cavity, left muscle with it, right cavity.

    `height` is where the plane lies in the heart now; below 0 it has left it through the valves.
    """

    left: np.ndarray
    muscle: np.ndarray
    right: np.ndarray
    height: float


def draw_ventricles(rng: np.random.Generator, group: str) -> Ventricles:
    """A random heart of one of the groups of ACDC."""
    shape = PATIENT_GROUPS[group]
    squeeze = rng.uniform(*shape.squeeze)
    return Ventricles(
        angle=np.deg2rad(rng.normal(200, 28)),
        radius=rng.uniform(*shape.radius),
        wall=rng.uniform(*shape.wall),
        right=rng.uniform(*shape.right),
        squeeze=squeeze,
        descent=0.4 * squeeze,
        ripples=_draw_ripples(rng, (0.05, 0.025, 0.012)),
        right_ripples=_draw_ripples(rng, (0.06, 0.05, 0.03)),
        right_shift=rng.uniform(-6, 6),
        scar=(rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.1)) if group == "MINF" else None,
    )


def contraction(moment: float, end_systole: float) -> float:
    """The contraction of the heart, 0 to 1, at `moment` of a cycle of length 1.

    Systole is a half sine from 0, diastole a fast filling that has ended by 1; `end_systole` alone
    gives 1.
    """
    if moment <= end_systole:
        return float(np.sin(np.pi / 2 * moment / end_systole) ** 2)
    left = (1 - moment) / (1 - end_systole)
    return float(left**2 * (3 - 2 * left))


def walls(heart: Ventricles, y: np.ndarray, x: np.ndarray, *, z: float, a: float) -> Walls:
    """The walls of `heart` in the plane at height `z`, at contraction `a`.

    `y` and `x` (H, W) are mm from the axis of the left ventricle.
    """
    c, s = np.cos(heart.angle), np.sin(heart.angle)
    u, v = c * x + s * y, c * y - s * x
    # The base descends towards the apex, which stays where it is.
    drop = heart.descent * a
    height = (z - drop) / (1 - drop)
    around = np.arctan2(v, u)
    cavity, outer = _radii(heart, around, a, drop)
    from_axis = np.hypot(u, v)
    muscle = from_axis - outer * _profile(height, TIP)
    left = from_axis - cavity * _profile(height, CLOSED)
    thickness = heart.right * (1 - 1.1 * heart.squeeze * a) * _profile(height, RV_END)
    septum = _radii(heart, 0.0, a, drop)[1] * _profile(height, TIP)
    right = np.maximum(_crescent(heart, u, v, septum, thickness), -muscle)
    return Walls(left, muscle, right, height)


def labels_at(place: Walls) -> np.ndarray:
    """uint8 (H, W): 1 right cavity, 2 muscle of the left ventricle, 3 its cavity, 0 elsewhere."""
    if place.height < 0:
        return np.zeros(place.left.shape, np.uint8)
    inside = [place.left < 0, place.muscle < 0, place.right < 0]
    return np.select(inside, [3, 2, 1], 0).astype(np.uint8)


def _radii(heart: Ventricles, around, a: float, drop: float) -> tuple:
    """Radius of the left cavity and of its muscle at the base, in the direction(s) `around`."""
    outline = 1 + _rippled(heart.ripples, around)
    rest = heart.radius
    cavity = rest * (1 - heart.squeeze * a * _mobility(heart, around))
    # A constant volume of muscle on a shorter length: (R² - r²) (1 - drop) = R₀² - r₀².
    outer = np.sqrt(cavity**2 + ((rest + heart.wall) ** 2 - rest**2) / (1 - drop))
    return cavity * outline, outer * outline


def _draw_ripples(rng: np.random.Generator, deviations: tuple[float, ...]) -> np.ndarray:
    amplitudes = np.clip(rng.normal(size=len(deviations)), -2, 2) * deviations
    return np.stack([amplitudes, rng.uniform(0, 2 * np.pi, size=len(deviations))], axis=1)


def _rippled(ripples: np.ndarray, around: np.ndarray) -> np.ndarray:
    waves = (size * np.cos(k * around + phase) for k, (size, phase) in enumerate(ripples, 2))
    return sum(waves, np.zeros_like(around))


def _profile(height: float, end: float) -> float:
    """Radius at `height` relative to that at the base."""
    return float(np.sqrt(max(1 - (max(height, 0) / end) ** 2, 0)))


def _mobility(heart: Ventricles, around: np.ndarray) -> np.ndarray | float:
    """Share of the contraction that each direction takes part in."""
    if heart.scar is None:
        return 1.0
    centre, width = heart.scar
    apart = np.abs((around - centre + np.pi) % (2 * np.pi) - np.pi)
    return 1 - 0.85 / (1 + np.exp((apart - width) / 0.15))


def _crescent(heart, u, v, septum, thickness):
    """Distance to the ellipse that the right cavity is a part of; positive where there is none."""
    if thickness < THIN:
        return np.full(u.shape, np.inf)
    centre = 0.7 * septum
    along, across = septum + thickness - centre, 0.55 * septum + 0.75 * thickness
    dx, dy = u - centre, v - heart.right_shift
    outline = 1 + _rippled(heart.right_ripples, np.arctan2(dy, dx))
    return _ellipse(dx / outline, dy / outline, along, across)


def _ellipse(x, y, a, b):
    """Approximate distance to an ellipse of semi-axes a and b at the origin."""
    k = np.hypot(x / a, y / b)
    return (k - 1) * k / (np.hypot(x / a**2, y / b**2) + 1e-9)
