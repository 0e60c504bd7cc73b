"""The lock of a run directory: one process at a time, where the file system knows locks."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxnas.core.errors import UserError
from jaxnas.core.files import system_says, writing
from jaxnas.core.notices import warn

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder, made if need be, for this process; UserError where another one has it.

    A file system without locks is used without, with a warning: nothing then keeps a second
    process out.
    """
    with writing(folder / LOCK):
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / LOCK, "w")  # noqa: SIM115 (a context below)
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # EWOULDBLOCK, on some systems EACCES
            raise UserError(
                f"{folder}: another process is working on this run; wait for it, or use another "
                f"--workdir"
            ) from None
        except OSError as error:
            warn(
                f"{folder}: this file system has no locks ({system_says(error)}); going on "
                f"without, start no second process on this run"
            )
            _checkpoints_without_locks()
        yield


def _checkpoints_without_locks() -> None:
    """Tells tensorstore, which writes orbax's arrays, to do so without locks of its own.

    Its locks are for several processes that write one checkpoint. Orbax has no option for them:
    what its private settings do not take, its error will tell.
    """
    from orbax.checkpoint._src.serialization import tensorstore_utils

    for name in ("_BASE_TS_CONTEXT", "_DEFAULT_OCDBT_TS_CONTEXT"):
        getattr(tensorstore_utils, name, {})["file_io_locking"] = {"mode": "non_atomic"}
