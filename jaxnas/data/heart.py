"""The embedded cine source: beating hearts in short axis, a pure function of the seed."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import (
    ED,
    ES,
    HEART_CAVITIES,
    HEART_LABELS,
    LabeledRef,
    LabeledVolume,
    Phases,
)
from jaxnas.data.thorax import Thorax, draw_thorax, paint, render_thorax
from jaxnas.data.ventricles import (
    PATIENT_GROUPS,
    Ventricles,
    Walls,
    contraction,
    draw_ventricles,
    labels_at,
    walls,
)
from jaxnas.data.waves import Waves, draw_waves

FIELD = 192.0  # mm along the shorter side of an image: 1.5 mm pixels at 128
LENGTH = (80.0, 98.0)  # mm from base to apex
SYSTOLE = (0.32, 0.42)  # end of it, in cycles
RIM = 3.0  # mm of muscle around the right cavity; it has no label


class _Person(NamedTuple):
    """Everything of a patient that does not change with time."""

    heart: Ventricles
    thorax: Thorax
    length: float
    end_systole: float
    centre: np.ndarray
    shifts: Waves
    flow: Waves
    texture: Waves
    bias: Waves
    shading: float
    noise: float
    gain: float
    papillaries: np.ndarray
    orientation: np.ndarray


class _Scene(NamedTuple):
    """Everything of a slice that does not change with time; arrays are (H, W) where not said.

    `grid` is mm from the axis of the left ventricle, `y` (H,) and `x` (W,) from the centre of the
    image; `rim` is how many mm of fat lie around the heart.
    """

    z: float
    pixel: float
    y: np.ndarray
    x: np.ndarray
    grid: tuple[np.ndarray, np.ndarray]
    chest: np.ndarray
    rim: np.ndarray
    fat: np.ndarray
    muscle: np.ndarray
    bias: np.ndarray


class HeartSource:
    """Patients of ACDC's five groups by turns, with right ventricle, muscle and left ventricle.

    Frame t of patient p depends on (seed, p, t) and the sizes alone; nothing is stored. Frame 1 is
    end-diastole. Intensities are whole numbers, as a scanner's. `phases` "ed_es" gives two volumes
    a patient, "all" one for every frame.
    """

    labels = HEART_LABELS
    cavities = HEART_CAVITIES

    def __init__(
        self,
        *,
        patients: int,
        slices: int,
        size: int | tuple[int, int],
        frames: int = 12,
        phases: Phases = "ed_es",
        seed: int = 0,
    ):
        """`size` is H = W or (H, W), at least 16; `frames` per cycle, at least 2."""
        height, width = shape = (size, size) if isinstance(size, int) else tuple(size)
        if min(patients, slices) < 1 or min(shape) < 16 or frames < 2:
            raise UserError(
                f"embedded hearts: found {patients} patients, {slices} slices, {frames} frames and "
                f"a size of {shape}; expected at least 1, 1, 2 and 16, raise what is less"
            )
        self.shape = (slices, height, width)
        self.frames = frames
        self.seed = seed
        self.patients = tuple(f"patient{p + 1:03d}" for p in range(patients))
        self._places = [
            (p, t) for p in range(patients) for t in _moments(phases, frames, self.end_systole(p))
        ]
        self.volumes = tuple(self._ref(p, t) for p, t in self._places)

    def end_systole(self, patient: int) -> int:
        """The frame (from 0) at which patient number `patient` (from 0) is at end-systole."""
        end = _draw_person(self.seed, patient).end_systole
        return int(np.clip(round(end * self.frames), 1, self.frames - 1))

    def read(self, i: int) -> LabeledVolume:
        """The volume `volumes[i]`."""
        return self.frame(*self._places[i])

    def frame(self, patient: int, t: int) -> LabeledVolume:
        """Frame `t` of patient number `patient`, both from 0, with labels."""
        ref, person = self._ref(patient, t), _draw_person(self.seed, patient)
        a = contraction(t / self.frames, self.end_systole(patient) / self.frames)
        rng = np.random.default_rng((self.seed, patient, t, 1))
        scenes = [_draw_scene(self.seed, patient, self.shape, i) for i in range(self.shape[0])]
        planes = [_render(person, scene, a) for scene in scenes]
        image = _scanned(np.stack([image for image, _ in planes]), person, rng)
        labels = np.stack([labels_at(place) for _, place in planes])
        spacing = self._spacing(person)
        affine = person.orientation @ np.diag([*reversed(spacing), 1.0])
        return LabeledVolume(
            image, labels, spacing, affine, ref.name, ref.patient, ref.phase, ref.group
        )

    def _ref(self, patient: int, t: int) -> LabeledRef:
        name, phase = self.patients[patient], f"frame{t + 1:02d}"
        known = {0: ED, self.end_systole(patient): ES}
        return LabeledRef(f"{name}_{phase}", name, known.get(t, phase), self.shape, _group(patient))

    def _spacing(self, person: _Person) -> tuple[float, float, float]:
        pixel = FIELD / min(self.shape[1:])
        return person.length / self.shape[0], pixel, pixel


def _moments(phases: Phases, frames: int, end_systole: int) -> tuple[int, ...]:
    return (0, end_systole) if phases == "ed_es" else tuple(range(frames))


def _group(patient: int) -> str:
    return tuple(PATIENT_GROUPS)[patient % len(PATIENT_GROUPS)]


@lru_cache(maxsize=64)
def _draw_person(seed: int, patient: int) -> _Person:
    rng = np.random.default_rng((seed, patient))
    heart = draw_ventricles(rng, _group(patient))
    return _Person(
        heart=heart,
        thorax=draw_thorax(rng),
        length=rng.uniform(*LENGTH),
        end_systole=rng.uniform(*SYSTOLE),
        centre=np.clip(rng.normal((0, 10), 10), -24, 24),
        shifts=draw_waves(rng, (0.05, 0.3)),
        flow=draw_waves(rng, (12, 50)),
        texture=draw_waves(rng, (20, 70)),
        bias=draw_waves(rng, (180, 400), n=16),
        shading=rng.uniform(0.1, 0.4),
        noise=rng.uniform(0.012, 0.045),
        gain=np.exp(rng.uniform(np.log(120), np.log(900))),
        papillaries=heart.angle + np.pi + rng.normal((-0.9, 0.9), 0.2),
        orientation=_draw_orientation(rng),
    )


def _draw_orientation(rng: np.random.Generator) -> np.ndarray:
    """A rotation and a translation (4, 4): slices lie obliquely in the scanner."""
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.sign(np.linalg.det(rotation))
    along = np.abs(rotation).argmax(0)
    if along[0] > along[1]:  # a quarter turn, for scanners store x before y before z
        affine[:3, :2] = affine[:3, 1::-1] * (1, -1)
    affine[:3, 3] = rng.uniform(-120, 120, size=3)
    return affine


@lru_cache(maxsize=32)  # a patient or two: the frames of one share their scenes
def _draw_scene(seed: int, patient: int, shape: tuple[int, int, int], index: int) -> _Scene:
    person = _draw_person(seed, patient)
    slices, height, width = shape
    pixel = FIELD / min(height, width)
    y, x = ((np.arange(n) - (n - 1) / 2) * pixel for n in (height, width))
    z = (index + 0.5) / slices
    depth = z * person.length
    # Every slice is scanned in a breath-hold of its own, hence at a slightly other place; the
    # axis of the heart is not quite at right angles to the slices either.
    moved = 1.2 * person.shifts(np.array([0.0, 9.0]), np.zeros(1), z)[:, 0]
    lean = 8 * (z - 0.5) * np.array([np.sin(person.heart.angle), np.cos(person.heart.angle)])
    row, column = person.centre + moved + lean
    texture = person.texture(y, x, depth)
    return _Scene(
        z=z,
        pixel=pixel,
        y=y,
        x=x,
        grid=np.meshgrid(y - row, x - column, indexing="ij"),
        chest=render_thorax(person.thorax, y, x, height=depth, pixel=pixel),
        rim=5 + 4 * texture,
        fat=person.thorax.signals["fat"] * (1 + 0.06 * texture),
        muscle=person.thorax.signals["myocardium"] * (1 - 0.08 * texture),
        bias=np.exp(person.shading * person.bias(y, x, depth)),
    )


def _render(person: _Person, scene: _Scene, a: float) -> tuple[np.ndarray, Walls]:
    """A slice at contraction `a`, without noise, (H, W), and where its walls are."""
    place = walls(person.heart, *scene.grid, z=scene.z, a=a)
    flow = person.flow(scene.y, scene.x, scene.z * person.length + 25 * a)
    blood = person.thorax.signals["blood"] * (1 + (0.05 + 0.05 * a) * flow)
    image = scene.chest.copy()
    _paint_heart(image, scene, place, blood)
    if place.height >= 0:
        _paint_papillaries(image, person, scene, place, a)
    return image * scene.bias, place


def _paint_heart(image: np.ndarray, scene: _Scene, place: Walls, blood: np.ndarray) -> None:
    """Fat around both ventricles, the thin wall of the right one, muscle, and blood within."""
    pixel, muscle = scene.pixel, scene.muscle
    outside = np.minimum(place.right - RIM, place.muscle)
    paint(image, outside - scene.rim, scene.fat, pixel=pixel)
    paint(image, outside, muscle, pixel=pixel)
    paint(image, place.right, blood * 0.95, pixel=pixel)
    if place.height < 0:  # above the valves there are atria and vessels, with thin walls
        paint(image, place.muscle + RIM, blood, pixel=pixel)
        return
    paint(image, place.muscle, muscle, pixel=pixel)
    paint(image, place.left, blood, pixel=pixel)


def _paint_papillaries(
    image: np.ndarray, person: _Person, scene: _Scene, place: Walls, a: float
) -> None:
    """Two muscles that stand in the left cavity at mid-height and count as part of it."""
    size = 4.5 * (1 - ((place.height - 0.5) / 0.28) ** 2)
    if size <= 0:
        return
    away = 0.62 * person.heart.radius * (1 - person.heart.squeeze * a)
    for direction in person.papillaries:
        dy, dx = away * np.sin(direction), away * np.cos(direction)
        distance = np.hypot(scene.grid[0] - dy, scene.grid[1] - dx) - size
        paint(image, np.maximum(distance, place.left), scene.muscle, pixel=scene.pixel)


def _scanned(image: np.ndarray, person: _Person, rng: np.random.Generator) -> np.ndarray:
    """The magnitude of the image with complex noise, in whole numbers of the scanner's scale."""
    re, im = person.noise * rng.standard_normal((2, *image.shape))
    return np.rint(person.gain * np.hypot(image + re, im)).astype(np.float32)
