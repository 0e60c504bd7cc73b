"""A run: one resolved config, and the directory that holds everything it produces.

One process at a time writes to a directory, where the file system knows locks.
"""

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnas.core.config import dump_config, load_config
from jaxnas.core.errors import START_OVER, UserError
from jaxnas.core.files import check_output_folder, system_says, writing
from jaxnas.core.identity import differences, fingerprint
from jaxnas.core.notices import tell, warn
from jaxnas.core.sections import anchored
from jaxnas.data.named import with_labels
from jaxnas.engine.rundir import RunDir

SHOWN = 3  # keys that a message names where there are more
LOCK = ".lock"


@dataclass(frozen=True)
class Run:
    """`config` is what is run, `path` where it is kept, `quiet` whether to show progress.

    >>> import pathlib
    >>> import jaxnas
    >>> run = jaxnas.Run(jaxnas.make_config({}), pathlib.Path("runs/mine"))
    >>> run.dir.genotype.exists()
    False
    """

    config: Any  # an Experiment, of the class of its task
    path: Path
    quiet: bool = False

    def log(self, text: str) -> None:
        """Shows one line to a person, unless the run is quiet."""
        if not self.quiet:
            tell(text)

    @property
    def dir(self) -> RunDir:
        """The files of the run."""
        return RunDir(self.path)


def open_run(
    target: Path,
    *,
    overrides: Sequence[str] = (),
    workdir: Path | None = None,
    quiet: bool = False,
) -> Run:
    """The run of a config file, or the existing run of a run directory; writes nothing."""
    target = Path(target)
    if not target.is_dir():
        config = with_labels(load_config(target, overrides=overrides))
        path = workdir or Path("runs") / f"{config.name}-{fingerprint(config)}"
        return Run(config, path.resolve(), quiet)
    resolved = RunDir(target).config.path
    if not resolved.is_file():
        raise UserError(
            f"{target}: not a run directory (it has no {resolved.name}); give a config file, or "
            f"the directory of an earlier run"
        )
    if workdir is not None and workdir.resolve() != target.resolve():
        raise UserError(f"--workdir {workdir}: the run already lives in {target}; leave it out")
    return Run(load_config(resolved, overrides=overrides), target.resolve(), quiet)


def check_directory(run: Run, *, fresh: bool) -> None:
    """Raises UserError unless the run may use its directory; writes nothing.

    A run directory belongs to one config, whose keys marked `Free` may change: another one in the
    same place is refused, unless `fresh` starts it over. What is no run directory is never deleted.
    """
    path, resolved = run.path, run.dir.config.path
    check_output_folder(path)
    if resolved.is_file():
        changed = [] if fresh else differences(load_config(resolved), run.config)
        if changed:
            named = "; ".join(map(str, changed[:SHOWN]))
            more = f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
            raise UserError(
                f"{path}: holds a run of another config ({named}{more}); restore what was, or use "
                f"another --workdir ({START_OVER})"
            )
    elif fresh and path.is_dir() and any(entry.name != LOCK for entry in path.iterdir()):
        raise UserError(f"{path}: not a run directory, --fresh will not delete it; choose another")


@contextmanager
def claim(run: Run, *, fresh: bool) -> Iterator[None]:
    """Holds the run directory for this process, made or started over; UserError if it is taken."""
    check_directory(run, fresh=fresh)
    with locked(run.path):
        if fresh:
            with writing(run.path):
                _empty(run.path)
        _record(run)
        yield


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


def _record(run: Run) -> None:
    """Writes the config, again where what may change has changed."""
    file, text = run.dir.config, dump_config(anchored(run.config))
    if not file.exists() or file.read() != text:
        file.write(text)


def _empty(path: Path) -> None:
    """Deletes what a run directory holds, but for the lock."""
    for entry in path.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()


def _checkpoints_without_locks() -> None:
    """Tells tensorstore, which writes orbax's arrays, to do so without locks of its own.

    Its locks are for several processes that write one checkpoint. Orbax has no option for them:
    what its private settings do not take, its error will tell.
    """
    from orbax.checkpoint._src.serialization import tensorstore_utils

    for name in ("_BASE_TS_CONTEXT", "_DEFAULT_OCDBT_TS_CONTEXT"):
        getattr(tensorstore_utils, name, {})["file_io_locking"] = {"mode": "non_atomic"}
