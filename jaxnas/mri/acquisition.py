"""One undersampled scan, scaled for a network."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from jaxnas.mri import coils
from jaxnas.mri.complexes import fft1c, ifft1c, ifft2c, magnitude


@struct.dataclass
class Measurement:
    """The measured k-space, times `scale`, and how it was acquired; a pytree.

    `kspace` complex64 (B, [C,] H, W), +0 where not sampled; `mask` float32 of zeros and ones,
    (B, 1, W) where columns are sampled whole and (B, H, W) where points are; `sens` complex64
    (B, C, H, W), or None for a single coil without coil axis; `scale` float32 (B,). `in_scan_units`
    returns to the scan's own units.
    """

    kspace: jax.Array
    mask: jax.Array
    sens: jax.Array | None
    scale: jax.Array


def measure(
    kspace: jax.Array, mask: jax.Array, sens: jax.Array | None, *, peak: float = 6.0
) -> Measurement:
    """Undersamples `kspace` (B, [C,] H, W) and scales it to max |A^H y| = `peak` per item.

    The factor is real and positive, so phases stay. An item without signal keeps scale 1.
    """
    image = coils.adjoint(kspace, mask, sens)
    maximum = magnitude(image).max(axis=(-2, -1))
    scale = jnp.where(maximum > 0, peak / jnp.where(maximum > 0, maximum, 1.0), 1.0)
    factor = scale.reshape(scale.shape + (1,) * (kspace.ndim - scale.ndim))
    return Measurement(coils.sample(kspace * factor, mask), mask, sens, scale)


def in_scan_units(image: jax.Array, measurement: Measurement) -> jax.Array:
    """A reconstruction (B, H, W), complex or magnitude, divided by the scale it was measured at.

    Where nothing but zeros was measured the image is exactly zero: a network answers those with
    its biases, in units of `peak`, and there is no scale to bring them back by.
    """
    kspace = measurement.kspace
    measured = jnp.any(kspace != 0, axis=tuple(range(1, kspace.ndim)))[:, None, None]
    return jnp.where(measured, image / measurement.scale[:, None, None], 0)


def target(kspace: jax.Array, sens: jax.Array | None) -> jax.Array:
    """The fully sampled image S^H F^H y, complex64 (B, H, W), in the units of `kspace`."""
    return coils.combine(ifft2c(kspace), sens)


def zero_filled(measurement: Measurement) -> jax.Array:
    """The image A^H y of a measurement, complex64 (B, H, W), in scaled units."""
    return coils.adjoint(measurement.kspace, measurement.mask, measurement.sens)


def readout_strip(
    measurement: Measurement, image: jax.Array, start: jax.Array | int, *, rows: int
) -> tuple[Measurement, jax.Array]:
    """The same scan of a field of view cut to `rows` image rows from `start`; and its image.

    `image` (B, H, W) is cut alike. Columns of k-space are undersampled, rows are read out whole,
    so the cut commutes with the mask: the strip has the same columns, and the same `scale`. Raises
    ValueError for a mask of single points, whose strip would be another problem.
    """
    if measurement.mask.shape[-2] != 1:
        raise ValueError(
            f"expected a mask of whole columns (B, 1, W), found shape {measurement.mask.shape}"
        )

    def cut(x):
        return jax.lax.dynamic_slice_in_dim(x, start, rows, axis=-2)

    kspace = fft1c(cut(ifft1c(measurement.kspace, axis=-2)), axis=-2)
    # +0 where not sampled, as in every measurement
    kspace = coils.sample(kspace, measurement.mask)
    sens = None if measurement.sens is None else cut(measurement.sens)
    return dataclasses.replace(measurement, kspace=kspace, sens=sens), cut(image)
