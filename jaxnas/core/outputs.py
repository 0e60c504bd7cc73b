"""Refusals of the system while something is written: one sentence, with what to do about it."""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxnas.core.errors import UserError

STDOUT = "standard output"
_REMEDIES = {
    errno.ENOSPC: "free some space, or choose another place",
    errno.EDQUOT: "free some space, or choose another place",
    errno.EROFS: "choose a place that can be written to",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.ENOTDIR: "choose a place below a folder",
    errno.EEXIST: "choose a place below a folder",
    errno.EISDIR: "give the name of a file",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
}


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turns an OSError of the block, which writes `path`, into a UserError that names it."""
    try:
        yield
    except (io.UnsupportedOperation, BrokenPipeError):  # a mistake of ours; nobody reads on
        raise
    except OSError as error:
        raise refused(path, error) from error


def refused(path: str | Path, error: OSError) -> UserError:
    """The message for an output that cannot be written: its name, what the system says, and what
    to do."""
    remedy = _REMEDIES.get(error.errno or 0, "choose another place")
    return UserError(f"{path}: cannot be written ({system_says(error)}); {remedy}")


def system_says(error: OSError) -> str:
    """The words of the system for an error; where it has no number, the first line it came with."""
    if error.errno:
        return os.strerror(error.errno)
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def check_output_folder(path: str | Path) -> None:
    """Raises UserError where `path` can be no folder with new files; makes and writes nothing.

    What a command computes for hours must not be lost at its end, so it asks first. A disk that
    fills up meanwhile is not foreseen.
    """
    with writing(path):
        _check_folder(Path(path))


def check_output_file(path: str | Path) -> None:
    """Raises UserError where `path` can be no new or replaced file; makes and writes nothing."""
    path = Path(path)
    with writing(path):
        if path.is_dir():
            raise OSError(errno.EISDIR, "")
        _check_folder(path.parent)


def _check_folder(path: Path) -> None:
    """Raises OSError unless files can be made in `path`, or in a folder of this name made first."""
    place = _nearest(path)
    if not place.is_dir():
        raise OSError(errno.ENOTDIR, "")
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, "")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, "")


def _nearest(path: Path) -> Path:
    """`path`, or what exists of the way to it. Raises OSError for a name that cannot exist."""
    path = path.absolute()
    for place in (path, *path.parents):
        try:
            os.stat(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        return place
    raise FileNotFoundError(errno.ENOENT, "")
