"""A procedural head: scalp, skull, folded cortex, white matter, ventricles, nuclei, lesions.

Everything is an implicit surface in head units (the head is about 1.7 long, one unit is about
11 cm; y grows backwards, x to the left, z upwards), so that neighbouring slices belong together
and the same anatomy appears at every resolution. Tissues are painted over one another in order;
their signals are those of relaxation times at 3 T by the spin-echo equation of a sequence.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxnas.data.waves import Waves, draw_plane_waves, draw_waves


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


# Centre (|x|, y, z), semi-axes (x, y, z) and in-plane angle (radians) of the paired inner parts.
VENTRICLES = (
    ((0.075, -0.20, 0.14), (0.046, 0.155, 0.17), 0.35),
    ((0.085, 0.02, 0.25), (0.042, 0.26, 0.10), 0.05),
    ((0.185, 0.27, 0.10), (0.046, 0.17, 0.16), 0.45),
    ((0.0, 0.03, -0.02), (0.020, 0.13, 0.12), 0.0),
)
NUCLEI = (
    ((0.150, -0.19, 0.12), (0.042, 0.11, 0.15), 0.35),
    ((0.275, -0.06, 0.00), (0.052, 0.17, 0.15), -0.22),
    ((0.105, 0.11, 0.03), (0.080, 0.125, 0.12), -0.45),
)
# Sulci are drawn from waves of these in-plane directions (radians), blended around the head.
FOLD_ANGLES = tuple(np.pi / 4 * np.arange(4))


@dataclass(frozen=True)
class Lesion:
    """An ellipsoid of abnormal signal: centre and semi-axes (x, y, z) in head units."""

    centre: tuple[float, float, float]
    axes: tuple[float, float, float]


@dataclass(frozen=True)
class Anatomy:
    """One person: sizes in head units and the random fields that shape the surfaces."""

    width: float
    length: float
    fat: float
    atrophy: float
    tilt: float
    lesions: tuple[Lesion, ...]
    outline: Waves
    folds: tuple[Waves, ...]
    asymmetry: Waves
    reach: Waves
    warp: Waves
    grain: Waves


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """A random person."""
    return Anatomy(
        width=rng.uniform(0.73, 0.79),
        length=rng.uniform(0.90, 0.95),
        fat=rng.uniform(0.018, 0.045),
        atrophy=rng.uniform(0.7, 1.35),
        tilt=rng.uniform(-0.12, 0.12),
        lesions=_draw_lesions(rng),
        outline=draw_waves(rng, (0.6, 1.4)),
        folds=tuple(
            draw_plane_waves(rng, (0.17, 0.25), angle=angle, spread=0.35, n=32)
            for angle in FOLD_ANGLES
        ),
        asymmetry=draw_waves(rng, (0.17, 0.25), n=48),
        reach=draw_waves(rng, (0.2, 0.6)),
        warp=draw_waves(rng, (0.12, 0.4)),
        grain=draw_waves(rng, (0.025, 0.25), n=96),
    )


def _draw_lesions(rng: np.random.Generator) -> tuple[Lesion, ...]:
    """A few small lesions beside the ventricles and, in one head of four, a large one."""
    sizes = list(rng.uniform(0.012, 0.035, size=rng.integers(1, 9)))
    sizes += [rng.uniform(0.06, 0.11)] if rng.random() < 0.25 else []
    return tuple(
        Lesion(
            (
                rng.choice((-1, 1)) * rng.uniform(0.16, 0.38),
                rng.uniform(-0.4, 0.45),
                rng.uniform(0, 0.5),
            ),
            tuple(size * rng.uniform(0.7, 1.4, size=3)),
        )
        for size in sizes
    )


class _Place(NamedTuple):
    """The place of pixels: grid axes y (H,), x (W,), head coordinates (H, W), and the height z."""

    y: np.ndarray
    x: np.ndarray
    ys: np.ndarray
    xs: np.ndarray
    z: float

    def field(self, waves: Waves) -> np.ndarray:
        return waves(self.y, self.x, self.z)


class _Canvas:
    """The image under way, float32 (H, W)."""

    def __init__(self, shape: tuple[int, int], sequence: Sequence, pixel: np.float32):
        self.image = np.zeros(shape, np.float32)
        self.signal = {name: np.float32(sequence.signal(t)) for name, t in TISSUES.items()}
        self.pixel = pixel

    def paint(self, tissue: str, distance, opacity=1.0) -> np.ndarray:
        """Covers what has negative `distance` (H, W) with `tissue`; returns the coverage."""
        # A one-pixel ramp across the surface: partial volume, and no staircase edges.
        cover = np.clip(0.5 - distance / self.pixel, 0, 1) * opacity
        self.image += (self.signal[tissue] - self.image) * cover
        return cover


def render_phantom(
    anatomy: Anatomy, sequence: Sequence, *, shape: tuple[int, int], z: float
) -> np.ndarray:
    """Magnitude image float32 (H, W) of the axial slice at height `z` (0 nuclei, 0.7 vertex)."""
    y, x, pixel = _grid(shape)
    place = _Place(y, x, *_tilted(y, x, anatomy.tilt), z)
    canvas = _Canvas(shape, sequence, pixel)
    warp, outline = place.field(anatomy.warp), place.field(anatomy.outline)
    depth = _head_depth(anatomy, place) + 0.010 * outline
    _paint_shell(canvas, anatomy, depth, outline, warp)
    white = _paint_brain(canvas, anatomy, place, depth, warp)
    _paint_lesions(canvas, anatomy, place, white, warp)
    _paint_sinus(canvas, anatomy, place, warp)
    return canvas.image * (1 + 0.028 * place.field(anatomy.grain) + 0.015 * warp)


def _grid(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.float32]:
    """Rows (H,), columns (W,) in head units, zero at index n // 2, and the pixel size."""
    height, width = shape
    half = min(height / 2, width / 2 / 0.86)
    y = (np.arange(height) - height // 2) / half
    x = (np.arange(width) - width // 2) / half
    return y.astype(np.float32), x.astype(np.float32), np.float32(1 / half)


def _tilted(y, x, angle):
    """Coordinates (H, W) of a head turned by `angle` radians."""
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * y[:, None] - s * x[None, :], s * y[:, None] + c * x[None, :]


def _level(z: float) -> float:
    """Relative radius of the head at height z."""
    return float(np.sqrt(max(1 - (max(z, 0) / 1.1) ** 2, 0.02)))


def _head_depth(anatomy, place):
    """Depth below the skin of an egg that is wider at the back, positive inside (H, W)."""
    a, b = anatomy.width, anatomy.length
    radius = _norm(place.xs / (a * (1 + 0.10 * place.ys)), place.ys / b)
    return (_level(place.z) - radius) * np.float32(0.5 * (a + b))


def _paint_shell(canvas, anatomy, depth, outline, warp):
    """Skin, fat, and the skull with marrow between its two tables, then the fluid below."""
    fat = 0.014 + anatomy.fat * (1 + 0.3 * outline)
    canvas.paint("skin", -depth)
    canvas.paint("fat", 0.012 - depth)
    canvas.paint("skin", fat - depth)
    canvas.paint("bone", fat + 0.012 - depth)
    canvas.paint("marrow", fat + 0.030 - depth, 0.7 + 0.2 * warp)
    canvas.paint("bone", fat + 0.044 - depth)
    canvas.paint("csf", fat + 0.062 - depth)


def _paint_brain(canvas, anatomy, place, depth, warp):
    """Grey ribbon along the folded surface, white matter, nuclei, ventricles; returns white."""
    surface = depth - (0.014 + anatomy.fat) - 0.062 - 0.016 * anatomy.atrophy - 0.004 * warp
    inside = _fold(anatomy, place, surface, warp, canvas.pixel)
    opening = (0.004 + 0.002 * warp) * anatomy.atrophy
    canvas.paint("grey", opening - inside)
    white = canvas.paint("white", opening + 0.030 + 0.005 * warp - inside)
    for part in NUCLEI:
        white *= 1 - canvas.paint("deep", _ellipsoid(part, place, 1.0) + 0.006 * warp)
    for part in VENTRICLES:
        white *= 1 - canvas.paint("csf", _ellipsoid(part, place, anatomy.atrophy) + 0.006 * warp)
    return white


def _fold(anatomy, place, surface, warp, pixel):
    """Distance to the folded surface: the outer one, the sulci, the fissures (H, W).

    Sulci are the zero lines of a band-limited field f; |f| / |∇f| is the distance to them. They
    end where the surface is farther than `reach`.
    """
    y, x, ys, xs, z = place
    # Waves running around the head have crests pointing inwards: weigh each direction by cos⁴.
    around = np.arctan2(ys, np.abs(xs)) + np.float32(np.pi / 2)
    field = 0.45 * anatomy.asymmetry(y, x, z)
    for angle, waves in zip(FOLD_ANGLES, anatomy.folds):
        field += np.square(np.square(np.cos(around - np.float32(angle)))) * waves(y, np.abs(x), z)
    slope = _norm(*np.gradient(field, pixel))
    reach = 0.20 + 0.08 * anatomy.reach(y, x, z)
    sulcus = np.abs(field) / (slope + 4) + 1.0 * np.maximum(surface - reach, 0)
    # The fissure between the hemispheres is interrupted by the corpus callosum low down.
    bridge = 0.36 * np.sqrt(max(1 - ((z - 0.02) / 0.36) ** 2, 0))
    gap = np.maximum(bridge - np.abs(ys - 0.02), 0)
    fissure = _norm(xs + 0.010 * anatomy.reach(y, x * 0, z), gap)
    lateral = _segment(np.abs(xs), ys, (0.66, -0.30), (0.38, 0.06)) + max(z - 0.12, 0) * 0.6
    lateral = np.abs(lateral + 0.018 * warp)
    inner = np.minimum(np.minimum(sulcus, fissure), lateral - 0.006)
    return np.minimum(surface, inner)


def _paint_lesions(canvas, anatomy, place, white, warp):
    """Lesions, in white matter only and with an irregular edge."""
    for lesion in anatomy.lesions:
        (cx, cy, cz), (ax, ay, az) = lesion.centre, lesion.axes
        height = 1 - ((place.z - cz) / (2 * az)) ** 2
        if height > 0:
            axes = (ax * np.sqrt(height), ay * np.sqrt(height))
            distance = _ellipse(place.xs - cx, place.ys - cy, axes, 0.0)
            canvas.paint("lesion", distance + 0.008 * warp, 0.85 * white)


def _paint_sinus(canvas, anatomy, place, warp):
    """The sagittal sinus, at the inner table of the skull in the back."""
    back = anatomy.length * _level(place.z) - anatomy.fat - 0.085
    canvas.paint("blood", _ellipse(place.xs, place.ys - back, (0.03, 0.028), 0.0) + 0.004 * warp)


def _ellipsoid(part, place, scale):
    """Approximate distance (H, W) to a mirrored pair of ellipsoids, cut at the height of place."""
    (cx, cy, cz), (ax, ay, az), angle = part
    height = 1 - ((place.z - cz) / az) ** 2
    if height <= 0:
        return np.float32(1)
    r = np.sqrt(height)
    return _ellipse(np.abs(place.xs) - cx, place.ys - cy, (ax * r * scale, ay * r), angle)


def _ellipse(x, y, axes, angle):
    """Approximate distance to an ellipse at the origin: (|p/axes| - 1) |p/axes| / |p/axes²|."""
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = c * x + s * y, c * y - s * x
    a, b = (np.float32(max(axis, 1e-3)) for axis in axes)
    u, v = u / a, v / b
    k = _norm(u, v)
    return (k - 1) * k / (_norm(u / a, v / b) + np.float32(1e-6))


def _norm(u, v):
    """√(u² + v²); several times faster than hypot, which guards against overflow."""
    return np.sqrt(u * u + v * v)


def _segment(x, y, start, end):
    """Distance to a straight segment."""
    (x0, y0), (x1, y1) = start, end
    dx, dy = np.float32(x1 - x0), np.float32(y1 - y0)
    t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    return _norm(x - x0 - t * dx, y - y0 - t * dy)
