"""Keeping compiled programs between processes: a second start need not compile again."""

import errno
import hashlib
import os
import platform
from pathlib import Path

from jaxnas.core.notices import warn

# Below this a program is compiled about as fast as it is read.
WORTH_KEEPING_S = "0.1"
KEPT_BYTES = 4 << 30


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
