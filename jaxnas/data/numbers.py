"""Conversion of a file's numbers to float32 and complex64, or a sentence why that cannot be."""

import numpy as np

from jaxnas.core.errors import UserError

LARGEST = 1e34  # sums over an image stay below the end of float32, 3.4e38
SMALLEST = 1e-34  # and the dimmest pixels above its beginning, 1.2e-38


def narrowed(values: np.ndarray, *, where: str, index: int) -> np.ndarray:
    """`values` of slice `index` as float32 or complex64.

    NaN, infinity, and a slice whose largest number is out of reach of float32, which would come
    out as infinity or zeros, raise UserError with `where`, the name of the array.
    """
    parts = (np.real(values), np.imag(values)) if values.dtype.kind == "c" else (values,)
    peak = float(np.max([np.abs(part).max() for part in parts]))
    if not np.isfinite(peak):
        raise UserError(
            f"{where} has NaN or infinity in slice {index}; "
            "expected finite numbers, repair or leave out this file"
        )
    if peak and not SMALLEST <= peak <= LARGEST:
        raise UserError(
            f"{where} has numbers of up to {peak:.1e} in slice {index}, beyond float32; expected "
            f"a largest one between {SMALLEST:g} and {LARGEST:g}, multiply the data by a constant"
        )
    return values.astype(np.complex64 if len(parts) == 2 else np.float32, copy=False)
