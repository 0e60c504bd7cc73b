"""The runtime under a process: compiled programs that are kept, freed memory, an absent device.

A second start need not compile again. Keeping freed memory makes large programs on the CPU up to
three times faster; what a compiler has freed is better returned. A device that was asked for and is
not there gives one sentence instead of JAX's traceback.
"""

import ctypes
import errno
import hashlib
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from jaxnas.core.notices import warn

# Below this a program is compiled about as fast as it is read.
WORTH_KEEPING_S = "0.1"
KEPT_BYTES = 4 << 30
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8  # glibc's malloc.h
NEVER, TOP_PAD = -1, 256 << 20
EXTRAS = {"cuda": "gpu", "gpu": "gpu", "tpu": "tpu"}


def keep_compiled_programs() -> None:
    """Gives JAX a folder for its compilation cache, unless the user named one or switched it off.

    Call it before JAX is imported: it speaks to JAX by environment variables alone. The folder is
    `$XDG_CACHE_HOME/jaxnas/xla` (or below `~/.cache`), one per kind of processor, because programs
    for the CPU are made for its instructions. `JAX_COMPILATION_CACHE_DIR` names another, and
    `JAX_ENABLE_COMPILATION_CACHE=false` switches it off.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        folder = cache_folder() / "xla" / _processor()
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        forget_oldest(folder, keep=KEPT_BYTES)
    except OSError as error:  # costs time, not the run
        warn(
            f"no folder to keep compiled programs in ({error}); every start compiles them anew, "
            f"JAX_COMPILATION_CACHE_DIR may name one"
        )
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", WORTH_KEEPING_S)


def cache_folder() -> Path:
    """The folder for what this library can always make again; FileNotFoundError for a user
    without a home."""
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(home or Path.home() / ".cache") / "jaxnas"
    except RuntimeError:  # no HOME, and a user id of no account: a container
        raise FileNotFoundError(errno.ENOENT, "this user has no home folder") from None


def forget_oldest(folder: Path, *, keep: int) -> None:
    """Deletes the files of `folder` that were written first, until `keep` bytes remain at most."""
    files = sorted(((f.stat(), f) for f in folder.iterdir() if f.is_file()), key=_written)
    excess = sum(stat.st_size for stat, _ in files) - keep
    for stat, file in files:
        if excess <= 0:
            return
        file.unlink(missing_ok=True)
        excess -= stat.st_size


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


def explain_backend(error: Exception) -> str | None:
    """The message for an error that JAX raised because it cannot start its device, else None.

    JAX starts the device with the first array, wherever in a command that is, and some versions
    raise an AssertionError without a word: so whether it starts is asked of JAX again.
    """
    if not isinstance(error, (RuntimeError, AssertionError)) or "jax" not in sys.modules:
        return None
    try:
        sys.modules["jax"].devices()
    except (RuntimeError, AssertionError) as reason:
        return _missing(os.environ.get("JAX_PLATFORMS", ""), str(reason).strip())
    return None


def _written(entry) -> float:
    stat, _ = entry
    return stat.st_mtime


def _processor() -> str:
    """A short name of what programs for the CPU depend on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        facts = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        facts = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {facts}".encode()).hexdigest()[:12]


def _glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library, None where there is none of that name."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None


def _missing(asked: str, reason: str) -> str:
    """The message for missing platforms `asked` for, with JAX's reason where it gives one."""
    said = f" ({reason.splitlines()[0].partition(' (set JAX_PLATFORMS')[0]})" if reason else ""
    extras = [EXTRAS[name] for name in asked.lower().split(",") if name in EXTRAS]
    install = f'pip install "jaxnas[{extras[0]}]" brings its plugin, or ' if extras else ""
    return (
        f"JAX_PLATFORMS={asked}: JAX cannot start this device{said}; {install}unset JAX_PLATFORMS "
        f"to run on what is there"
    )
