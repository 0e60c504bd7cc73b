"""The embedded data source: synthetic MRI of random heads, a pure function of the seed."""

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.coils import coil_maps, expand_coils, smooth_phase
from jaxnas.data.phantom import SEQUENCES, draw_anatomy, render_phantom
from jaxnas.data.source import Slice, SliceRef
from jaxnas.data.transforms import center_crop, centered_fft2, centered_ifft2
from jaxnas.data.waves import draw_waves

CONTRASTS = tuple(SEQUENCES)
NOISE = 0.008  # standard deviation per complex sample, relative to a bright tissue of 1
HEIGHTS = (-0.05, 0.55)  # of the lowest and the highest slice, in head units
RENDERED = 192  # images are rendered at least this large, then band-limited like a scan


class SyntheticSource:
    """Heads in T1, T2, FLAIR and PD contrast (by turns), with phase, coils and mild noise.

    Slice i of volume v depends on (seed, v, i) and the sizes alone; nothing is stored. Volumes
    are called synthetic_0000_T1, synthetic_0001_T2, ...
    """

    def __init__(
        self,
        *,
        volumes: int,
        slices: int,
        size: int | tuple[int, int],
        coils: int = 1,
        seed: int = 0,
    ):
        """`size` is H = W or (H, W), at least 16; `coils` 1 gives k-space without a coil axis."""
        height, width = shape = (size, size) if isinstance(size, int) else tuple(size)
        if min(volumes, slices, coils) < 1 or min(shape) < 16:
            raise UserError(
                f"embedded heads: found {volumes} volumes, {slices} slices, {coils} coils and a "
                f"size of {shape}; expected at least 1, 1, 1 and 16, raise what is less"
            )
        self.seed = seed
        self.per_volume = slices
        self.slices = tuple(
            SliceRef(volume_name(v), i, (height, width), coils)
            for v in range(volumes)
            for i in range(slices)
        )
        self.labels = {
            name: {"contrast": name.rpartition("_")[2], "subject": name}
            for name in map(volume_name, range(volumes))
        }

    def read(self, i: int) -> Slice:
        """The fully sampled slice `slices[i]`; several coils come with their true maps."""
        ref = self.slices[i]
        volume = i // self.per_volume
        position = (ref.index + 0.5) / self.per_volume
        image = synthetic_image(self.seed, volume, shape=ref.shape, position=position)
        sens = None
        if ref.coils > 1:
            sens = coil_maps(ref.shape, coils=ref.coils, seed=(self.seed, volume, 2))
        kspace = centered_fft2(image) if sens is None else expand_coils(image, sens)
        rng = np.random.default_rng((self.seed, volume, ref.index, 1))
        kspace = kspace + _complex_noise(rng, kspace.shape)
        return Slice(kspace, sens, None, ref.volume, ref.index)


def volume_name(volume: int) -> str:
    """The name of synthetic volume number `volume`; it ends with the contrast."""
    return f"synthetic_{volume:04d}_{CONTRASTS[volume % len(CONTRASTS)]}"


def acquisition(name: str) -> str:
    """The fastMRI acquisition label of the synthetic volume `name`, such as AXT2 or AXFLAIR."""
    return "AX" + name.rpartition("_")[2]


def synthetic_image(
    seed: int, volume: int, *, shape: tuple[int, int], position: float
) -> np.ndarray:
    """Noise-free complex64 image (H, W) of the slice at `position` (0 lowest, 1 highest)."""
    rng = np.random.default_rng((seed, volume))
    anatomy = draw_anatomy(rng)
    shading = draw_waves(rng, (2.5, 5.0), n=16)
    sequence = SEQUENCES[CONTRASTS[volume % len(CONTRASTS)]]
    z = HEIGHTS[0] + (HEIGHTS[1] - HEIGHTS[0]) * position
    factor = max(1.0, RENDERED / max(shape))
    height, width = (round(n * factor) for n in shape)
    image = render_phantom(anatomy, sequence, shape=(height, width), z=z) / np.float32(
        sequence.brightest()
    )
    y, x = (np.linspace(-1, 1, n) for n in shape)
    bias = 1 + 0.12 * shading(y, x, z)
    phase = smooth_phase(shape, seed=(seed, volume, 3))
    return (_band_limited(image, shape) * bias * phase).astype(np.complex64)


def _band_limited(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The scan of `image` on a coarser grid: the centre of its k-space, with soft corners."""
    kspace = center_crop(centered_fft2(image), shape)
    # Both transforms are unitary: fewer pixels of the same brightness have less energy.
    scale = np.sqrt(np.prod(shape) / np.prod(image.shape)).astype(np.float32)
    y, x = (np.abs(np.arange(n) - n // 2).astype(np.float32) / (n / 2) for n in shape)
    soft = 1 / (1 + np.exp((np.sqrt(y[:, None] ** 2 + x**2) - 1.0) / 0.06))
    return centered_ifft2(kspace * (scale * soft.astype(np.float32)))


def _complex_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    re, im = rng.standard_normal((2, *shape), dtype=np.float32)
    return np.float32(NOISE / np.sqrt(2)) * (re + 1j * im)
