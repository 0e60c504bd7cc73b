"""The acquisition in NumPy float64, and as a dense matrix: what the tests compare with."""

import numpy as np

AXES = (-2, -1)


def fft2c(x):
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x, AXES), norm="ortho"), AXES)


def forward(image, mask, sens):
    """M F S x of one image (H, W), mask (1 | H, W), sens (C, H, W) or None, in complex128."""
    image = np.asarray(image, np.complex128)
    images = image if sens is None else image[None] * np.asarray(sens, np.complex128)
    return fft2c(images) * np.asarray(mask, np.float64)


def matrix(mask, sens, shape):
    """A as a complex128 matrix with one column per pixel."""
    pixels = np.eye(shape[0] * shape[1]).reshape(-1, *shape)
    return np.stack([forward(pixel, mask, sens).ravel() for pixel in pixels], axis=1)


def solve(image, kspace, mask, sens, lam):
    """argmin_x ||x - z||^2 + lam ||s - A x||^2; lam None explains the data with the least change.

    One image, by dense linear algebra in float64.
    """
    A = matrix(mask, sens, image.shape)
    z, s = np.asarray(image, np.complex128).ravel(), np.asarray(kspace, np.complex128).ravel()
    if lam is None:
        # A lacks rank where samples are missing: what rounding leaves there is not to be inverted.
        x = z + np.linalg.pinv(A, rtol=1e-10) @ (s - A @ z)
    else:
        gram = A.conj().T @ A
        x = np.linalg.solve(np.eye(len(z)) + lam * gram, z + lam * A.conj().T @ s)
    return x.reshape(image.shape)
