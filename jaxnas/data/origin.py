"""The place of the zero frequency in stored k-space: its centre, or its corner."""

import numpy as np

from jaxnas.data.transforms import IMAGE_AXES

ORIGINS = ("center", "corner")
CLEARLY = 2.0  # how much more energy the edges hold where the zero frequency is there


def centred(array: np.ndarray, origin: str, *, axes: tuple[int, ...] = IMAGE_AXES) -> np.ndarray:
    """K-space (..., H, W), or with `axes` (-1,) its columns, with zero frequency at n // 2.

    `origin` corner: it is at 0, as `fft2` leaves it.
    """
    return np.fft.fftshift(array, axes) if origin == "corner" else array


def misplaced_axes(kspace: np.ndarray) -> tuple[str, ...]:
    """The axes, `rows` or `columns`, of ([C,] H, W) without zero frequency in their middle.

    Anatomy has nearly all its energy at low frequencies, noise as much everywhere: along such an
    axis the outer half holds clearly more than the inner one. An axis below 8 says nothing.
    """
    power = np.square(np.abs(kspace) / max(np.abs(kspace).max(), np.finfo(np.float32).tiny))
    power = power.reshape(-1, *kspace.shape[-2:]).sum(axis=0)
    profiles = {"rows": power.sum(axis=1), "columns": power.sum(axis=0)}
    return tuple(name for name, profile in profiles.items() if _is_at_the_edge(profile))


def describe_misplaced(axes: tuple[str, ...]) -> str:
    """The sentence about misplaced axes, with what to do about it."""
    if len(axes) == 2:
        return (
            "zero frequency is in the corner of k-space, not in its centre; expected it there, "
            "read this data with the origin 'corner' (data.origin: corner, or --origin corner)"
        )
    return (
        f"zero frequency is at the edge of the {axes[0]} of k-space and in the middle of the other "
        "axis; expected it in the centre, or in the corner with data.origin: corner, shift the data"
    )


def _is_at_the_edge(profile: np.ndarray) -> bool:
    n = len(profile)
    inner = profile[n // 4 : n // 4 + (n + 1) // 2].sum()
    return n >= 8 and profile.sum() - inner > CLEARLY * inner
