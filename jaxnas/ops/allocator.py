"""Keeps freed memory in the process instead of returning it to the kernel after every step.

XLA:CPU allocates the temporary memory of a program, hundreds of MiB, at every call. glibc maps and
unmaps blocks of that size each time, and the page faults then cost more than the arithmetic of a
memory-bound network (2-4x here). With these settings the block is reused.
"""

import ctypes
import sys

# glibc's names for the parameters of mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed blocks; call before the first JAX computation.

    Returns:
      Whether the settings took effect; False where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = {
        M_ARENA_MAX: 1,  # only the main heap can hold blocks of more than 64 MiB
        M_MMAP_MAX: 0,  # take large blocks from the heap, where they can be reused
        M_TRIM_THRESHOLD: 2**31 - 1,  # never shrink the heap
        M_TOP_PAD: 64 * 2**20,  # grow it in large steps
    }
    return 0 not in [mallopt(name, value) for name, value in settings.items()]
