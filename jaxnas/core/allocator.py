"""Control over what glibc does with freed memory.

Keeping it makes large programs on the CPU up to three times faster; what a compiler has freed is
better returned.
"""

import ctypes
import sys
from collections.abc import Callable

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8  # glibc's malloc.h
NEVER, TOP_PAD = -1, 256 << 20


def keep_freed_memory() -> bool:
    """Tells glibc to keep what is freed instead of returning it; True if it agreed.

    XLA on the CPU takes its whole scratch arena anew for every call. Above 32 MiB glibc maps and
    unmaps it each time, and the kernel zeroes every page again: more work than many convolutions.
    Call it before the first large allocation. Elsewhere than on glibc it does nothing.
    """
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return False
    # One arena: the others, which threads other than the first use, hold no large blocks.
    options = {M_ARENA_MAX: 1, M_MMAP_MAX: 0, M_TRIM_THRESHOLD: NEVER, M_TOP_PAD: TOP_PAD}
    agreed = [mallopt(option, value) for option, value in options.items()]  # asks for every one
    return all(agreed)


def return_freed_memory() -> bool:
    """Gives what is free now back to the system; True if it was something.

    After compiling: XLA takes as much memory for that as most programs do to run, and not again.
    """
    malloc_trim = _glibc("malloc_trim")
    return malloc_trim is not None and bool(malloc_trim(0))


def _glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library, None where there is none of that name."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None
