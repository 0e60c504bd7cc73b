"""HDF5 read from many threads, with few open files and errors a user can act on, and written
whole."""

import errno
import io
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.files import write_atomic
from jaxnas.core.notices import warn

OPEN_FILES = 16
LOCK_REFUSED = "unable to lock file"

# What HDF5 says, what it means, and what to do about it.
_CAUSES = (
    (LOCK_REFUSED, "is locked by a program that is writing it", "wait until it is done"),
    ("already open for", "is open for writing in this program", "close it before reading"),
    ("truncated file", "is truncated", "copy or download it again"),
    ("file signature not found", "is not an HDF5 file", "name an HDF5 file or convert this one"),
    ("Permission denied", "may not be read by this user", "change its permissions"),
    ("Is a directory", "is a folder", "name a file in it"),
    ("No such file", "does not exist", "check the path"),
)


class _Pool:
    """At most `limit` open files, the least recently used closed first.

    The lock is held while a file is borrowed, so no thread closes what another one reads; it
    costs nothing, since the HDF5 library runs one call at a time anyway.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.forget()

    def forget(self) -> None:
        """Starts empty, without closing: a forked child must not touch its parent's files."""
        self.lock = threading.RLock()
        self.files: OrderedDict[str, tuple[tuple, h5py.File]] = OrderedDict()

    @contextmanager
    def borrow(self, path: Path) -> Iterator[h5py.File]:
        with self.lock:
            yield self._open(path)

    def close(self) -> None:
        with self.lock:
            while self.files:
                self._close_oldest()

    def _open(self, path: Path) -> h5py.File:
        name, status = os.fspath(path), os.stat(path)
        # A file that was replaced or changed under its name must be opened anew.
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        if name in self.files and self.files[name][0] != version:
            self.files.pop(name)[1].close()
        if name not in self.files:
            self.files[name] = (version, _opened(path))
            if len(self.files) > self.limit:
                self._close_oldest()
        self.files.move_to_end(name)
        return self.files[name][1]

    def _close_oldest(self) -> None:
        _, file = self.files.popitem(last=False)[1]
        file.close()


def _opened(path: Path) -> h5py.File:
    """The file for reading; without a lock, and with a warning, where the file system has none.

    A lock would only keep a program from writing what is being read.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        refusal = re.search(rf"{LOCK_REFUSED}.*?errno = (\d+)", str(error), re.DOTALL)
        if refusal is None or int(refusal[1]) in (errno.EAGAIN, errno.EACCES):
            raise
    warn(
        f"{path.parent}: this file system has no locks ({os.strerror(int(refusal[1]))}); its files "
        f"are read without, as with HDF5_USE_FILE_LOCKING=FALSE"
    )
    return h5py.File(path, "r", locking=False)


_POOL = _Pool(OPEN_FILES)
os.register_at_fork(after_in_child=_POOL.forget)


@contextmanager
def new_file(path: str | Path) -> Iterator[h5py.File]:
    """An HDF5 file for writing, which becomes `path` when the block ends without an error.

    It is put together in memory: on a disk that fills up the HDF5 library leaves a file it can
    neither write nor close, and the process ends in a segmentation fault.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        yield file
    with buffer.getbuffer() as content:  # a view that outlives its buffer is an error
        write_atomic(path, content)


@contextmanager
def open_file(path: str | Path) -> Iterator[h5py.File]:
    """The HDF5 file at `path` for reading, while the `with` block lasts; it stays open behind.

    Whatever goes wrong inside the block while reading raises UserError naming the file.
    """
    path = Path(path)
    try:
        with _POOL.borrow(path) as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise _explained(path, error) from None


def close_files() -> None:
    """Closes every file that is still open behind the scenes."""
    _POOL.close()


def get_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Dataset `name` of an open file; where there is none, UserError lists what there is."""
    held = vars(file).setdefault("held", {})  # to look one up takes longer than to read a slice
    found = held[name] if name in held else file.get(name)
    if not isinstance(found, h5py.Dataset):
        names = ", ".join(sorted(file)) or "nothing"
        raise UserError(
            f"{file.filename}: no dataset {name!r} (the file has: {names}); "
            f"expected {name!r}, rename the dataset or use a reader that takes its name"
        )
    held[name] = found
    return found


def read_dataset(path: str | Path, name: str, selection: tuple) -> np.ndarray:
    """`selection` of dataset `name`, decoded into memory."""
    with open_file(path) as file:
        return np.asarray(get_dataset(file, name)[selection])


def _explained(path: Path, error: Exception) -> UserError:
    text = str(error)
    for fragment, found, todo in _CAUSES:
        if fragment in text:
            return UserError(f"{path}: {found}; expected a complete HDF5 file, {todo}")
    first = text.splitlines()[0] if text else type(error).__name__
    return UserError(
        f"{path}: cannot be read ({first}); expected an intact HDF5 file, copy or download it again"
    )
