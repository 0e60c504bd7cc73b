"""Applying a trained network to files: volumes in, magnitude images in the file's units out."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.schema import AcquisitionConfig
from jaxnas.data.source import Slice, Source
from jaxnas.data.transforms import center_crop
from jaxnas.data.volumes import Volume
from jaxnas.engine.evaluate import Reconstructor
from jaxnas.mri.acquisition import measure
from jaxnas.mri.complexes import magnitude
from jaxnas.mri.masks import make_mask


def reconstruct_volume(
    method: Reconstructor,
    volume: Volume,
    source: Source,
    acquisition: AcquisitionConfig,
    *,
    acceleration: float | None = None,
) -> np.ndarray:
    """Magnitudes float32 (S, h, w) of one volume, one slice at a time in constant memory.

    An undersampled file is taken as it is. A fully sampled one is undersampled first, by a mask
    of `acceleration` seeded by its name; without an acceleration it is refused with UserError.
    The image is cropped to the size the file asks for.
    """

    @jax.jit
    def apply(kspace, mask, sens):
        measurement = measure(kspace, mask, sens, peak=acquisition.peak)
        return (magnitude(method(measurement)) / measurement.scale[:, None, None])[0]

    images = []
    for i in range(len(source.slices)):
        item = source.read(i)
        mask = sampled_columns(item, acquisition, acceleration=acceleration)
        sens = None if item.sens is None else jnp.asarray(item.sens)[None]
        image = apply(
            jnp.asarray(item.kspace)[None], jnp.asarray(mask, jnp.float32)[None, None], sens
        )
        images.append(_cropped(np.asarray(image), volume.image_size))
    return np.stack(images)


def sampled_columns(
    item: Slice, acquisition: AcquisitionConfig, *, acceleration: float | None
) -> np.ndarray:
    """The columns to use, bool (W,): those of the file, or of a simulated acquisition."""
    width = item.kspace.shape[-1]
    if item.mask is not None:
        return item.mask
    # A file may be undersampled without saying so: columns that hold nothing but zeros.
    filled = np.abs(item.kspace).reshape(-1, width).max(axis=0) > 0
    if not filled[item.columns].all():
        return filled
    if acceleration is None:
        raise UserError(
            f"{item.volume}: every column of kspace is sampled, there is nothing to reconstruct; "
            f"give --acceleration to undersample it first, such as --acceleration "
            f"{acquisition.accelerations[0]:g}"
        )
    fractions = dict(zip(acquisition.accelerations, acquisition.center_fractions))
    nearest = min(fractions, key=lambda known: abs(known - acceleration))
    mask = make_mask(
        acquisition.mask,
        width,
        accelerations=(acceleration,),
        center_fractions=(fractions[nearest],),
        seed=item.volume,
    )
    return mask.columns & item.columns


def _cropped(image: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """The centre of an image; a size larger than the image leaves that axis whole."""
    if size is None:
        return image
    return center_crop(image, (min(size[0], image.shape[0]), min(size[1], image.shape[1])))
