"""Files that are either whole or absent."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jaxnas.core.errors import UserError
from jaxnas.core.outputs import writing


def write_atomic(path: str | Path, content: str | bytes | memoryview) -> Path:
    """Writes `content` to `path` through a temporary file and one rename.

    A reader, or a process killed at any moment, sees the old file or the new one, never a part.
    UserError where the system refuses (see `outputs`).
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
