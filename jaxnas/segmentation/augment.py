"""Random variation of training slices, on the device and a pure function of the key.

Space: one affine map per slice (rotation, scaling, translation), one gather for image and labels.
Intensity: contrast, brightness, gamma, noise. There are no flips: the heart is chiral, a mirrored
slice shows a right ventricle on the wrong side, which no scanner will ever deliver.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from jaxnas.core.rng import stream

TINY = 1e-6


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The strength of every variation of slices; 0 leaves that property exactly as it is.

    Drawn per slice: a rotation of ±`rotation` degrees, a magnification of exp(±`scale`), a
    translation of ±`shift` of the side along both axes; deviations from the mean stretched by
    exp(±`contrast`), an offset of ±`brightness`, a gamma of exp(±`gamma`) on the slice's own range,
    all uniform, and Gaussian noise of a standard deviation up to `noise`. Intensities are in
    standard deviations of the volume, which the preparation made 1.
    """

    rotation: float = 30.0
    scale: float = 0.15
    shift: float = 0.06
    contrast: float = 0.2
    brightness: float = 0.2
    gamma: float = 0.2
    noise: float = 0.05

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"expected {name} of at least 0, got {value}")


NONE = Augmentation(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Pose(NamedTuple):
    """An affine map about the image's centre: angle in radians, magnification, shift in pixels.

    `angle` and `scale` are (B,), `shift` is (B, 2) along H and W.
    """

    angle: jax.Array
    scale: jax.Array
    shift: jax.Array


def augment(
    key: jax.Array, image: jax.Array, label: jax.Array, augmentation: Augmentation
) -> tuple[jax.Array, jax.Array]:
    """Varies images float32 (B, H, W), and their labels uint8 (B, H, W) along with them."""
    count, height, width = image.shape
    pose = draw_pose(stream(key, "pose", 0), (count, height, width), augmentation)
    image, label = move(pose, image, label)
    return vary_intensity(stream(key, "intensity", 0), image, augmentation), label


def draw_pose(key: jax.Array, shape: tuple[int, int, int], augmentation: Augmentation) -> Pose:
    """A pose for every slice of a batch of `shape` (B, H, W)."""
    batch, height, width = shape
    angle, scale, shift = jax.random.split(key, 3)
    sides = jnp.array([[height, width]], jnp.float32)
    return Pose(
        jnp.deg2rad(_uniform(angle, (batch,), augmentation.rotation)),
        jnp.exp(_uniform(scale, (batch,), augmentation.scale)),
        _uniform(shift, (batch, 2), augmentation.shift) * sides,
    )


def move(pose: Pose, image: jax.Array, label: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Image (B, H, W), bilinear, and label (B, H, W), nearest, under one affine map each.

    y(c + s) = x(c + R(−θ)(s − shift) / scale), c the centre. What comes from outside of the image
    is 0: the mean intensity, and background.
    """
    _, height, width = image.shape
    coordinates = _source_coordinates(pose, (height, width))

    def gather(x, where, order):
        return map_coordinates(x, [where[0], where[1]], order=order, mode="constant", cval=0)

    moved = jax.vmap(lambda x, where: gather(x, where, 1))(image, coordinates)
    labels = jax.vmap(lambda x, where: gather(x, where, 0))(label, coordinates)
    return moved, labels


def vary_intensity(key: jax.Array, image: jax.Array, augmentation: Augmentation) -> jax.Array:
    """Contrast, brightness, gamma and noise on images float32 (B, H, W).

    Written as differences from the input, so that a strength of 0 changes no bit:
    x + (c − 1)(x − mean), x + b, x + (max − min)(uᵞ − u) with u = (x − min)/(max − min), x + σ n.
    """
    contrast, brightness, gamma, level, noise = jax.random.split(key, 5)
    one = (len(image), 1, 1)
    stretch = jnp.expm1(_uniform(contrast, one, augmentation.contrast))
    image = image + stretch * (image - image.mean((1, 2), keepdims=True))
    image = image + _uniform(brightness, one, augmentation.brightness)
    exponent = jnp.expm1(_uniform(gamma, one, augmentation.gamma))  # γ − 1
    low = image.min((1, 2), keepdims=True)
    span = image.max((1, 2), keepdims=True) - low
    u = (image - low) / jnp.maximum(span, TINY)
    image = image + span * u * jnp.expm1(exponent * jnp.log(jnp.maximum(u, TINY)))
    sigma = augmentation.noise * jax.random.uniform(level, one)
    return image + sigma * jax.random.normal(noise, image.shape)


def _source_coordinates(pose: Pose, size: tuple[int, int]) -> jax.Array:
    """The point where every pixel of the result is read, (B, 2, H, W), in pixels along H and W."""
    height, width = size
    centre = jnp.array([(height - 1) / 2, (width - 1) / 2], jnp.float32)
    rows, columns = jnp.meshgrid(
        jnp.arange(height) - centre[0], jnp.arange(width) - centre[1], indexing="ij"
    )
    rows = rows[None] - pose.shift[:, 0, None, None]
    columns = columns[None] - pose.shift[:, 1, None, None]
    cos = (jnp.cos(pose.angle) / pose.scale)[:, None, None]
    sin = (jnp.sin(pose.angle) / pose.scale)[:, None, None]
    return jnp.stack(
        [cos * rows + sin * columns + centre[0], cos * columns - sin * rows + centre[1]], axis=1
    )


def _uniform(key: jax.Array, shape: tuple[int, ...], bound: float) -> jax.Array:
    """Uniform in ±bound; exactly 0 for a bound of 0."""
    return bound * jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
