"""Files that are either whole or absent; one sentence with what to do where the system refuses."""

import errno
import io
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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


def write_atomic(path: str | Path, content: str | bytes | memoryview) -> Path:
    """Writes `content` to `path` through a temporary file and one rename.

    A reader, or a process killed at any moment, sees the old file or the new one, never a part.
    UserError where the system refuses (see `refused`).
    """
    data = content.encode() if isinstance(content, str) else content
    # Not `write_bytes`: where it fails, its frame keeps a view of a buffer that is to be freed.
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
    return Path(path)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path`, which becomes `path` when the block ends without an error.

    For files too large to be put together in memory; see `write_atomic`.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Part of the name only: where `path` may exist, so may this.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:32]}.")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            with suppress(PermissionError):  # some file systems have no modes to change
                os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def write_json(path: str | Path, value: Any) -> Path:
    """Writes `value` as indented JSON, keys in insertion order, atomically.

    NaN and infinity are refused with a ValueError: they are not JSON.
    """
    return write_atomic(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """The value of a JSON file; a missing or malformed file raises UserError."""
    path = Path(path)
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot read the file ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file; expected a JSON document") from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}: not valid JSON ({error.msg}); expected a JSON document"
        ) from None


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
