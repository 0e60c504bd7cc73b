"""Checkpoints: the only module that knows orbax.

A checkpoint is a pytree of arrays and a small JSON record, committed together by one rename.
"""

import errno
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxnas.core.errors import START_OVER, UserError
from jaxnas.core.files import system_says, writing
from jaxnas.core.notices import warn

UNFINISHED = "*.orbax-checkpoint-tmp"
BESIDES = 64 << 10  # bytes of a checkpoint beside its arrays, about

# What goes wrong in orbax's threads is raised here too, once; these would print every traceback.
for _name in ("absl", "asyncio"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class CheckpointStore:
    """The newest `keep` checkpoints in `directory`, written in the background.

    One store per directory at a time. Close it, or use it as a context, before the process ends.
    Where several processes share one state, each has a store and makes the same calls.
    """

    def __init__(self, directory: str | Path, *, keep: int = 2) -> None:
        # orbax refuses relative paths, but only in its background thread.
        self.directory = Path(directory).resolve()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, enable_async_checkpointing=True, cleanup_tmp_directories=True
        )
        with _writing(self.directory):
            self._manager = ocp.CheckpointManager(self.directory, options=options)

    def latest(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, record: Any) -> None:
        """Writes `state` (a pytree of arrays, typed keys included) and `record` (JSON).

        Returns once both are copied: the caller may donate the arrays and change the record.
        Raises ValueError if `step` is not newer than the latest checkpoint, UserError if the disk
        refuses.
        """
        # A copy, as of now: orbax writes JSON later, when a live list may have grown.
        record = json.loads(json.dumps({"layout": _layout(state), "record": record}))
        content = ocp.args.Composite(
            state=ocp.args.StandardSave(state), record=ocp.args.JsonSave(record)
        )
        with _writing(self.directory):
            _check_space(self.directory, state)
            saved = self._manager.save(step, args=content)
        if not saved:
            raise ValueError(f"step {step} is not newer than checkpoint {self.latest()}")

    def restore(self, target: Any) -> tuple[Any, Any] | None:
        """The newest readable (state, record), or None if nothing was ever saved.

        `target` is a pytree of arrays or ShapeDtypeStructs like the saved one; the state comes back
        on its devices, whatever those were on which it was saved. Raises UserError if the
        checkpoint has other leaves, shapes or dtypes, or if none can be read; a newer one that
        cannot be read is removed with a warning.
        """
        # Before any file is read: a device that does not start is no damage.
        target = _abstract(target)
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                return self._read(step, target)
            except UserError:
                raise
            except Exception as error:  # a damaged file surfaces as many different types
                self._check_damaged(step, error)
                reason = str(error).strip().split("\n")[0][:200]
                warn(
                    f"{self.directory / str(step)}: damaged checkpoint, going back to the one "
                    f"before ({type(error).__name__}: {reason})"
                )
                with suppress(OSError):  # where nothing can be deleted, it is passed over
                    self._manager.delete(step)
        if steps:
            raise UserError(
                f"{self.directory}: every checkpoint is damaged, found steps {steps}; "
                f"restore them from a copy, or use another --workdir ({START_OVER})"
            )
        return None

    def wait(self) -> None:
        """Returns when everything saved is on disk; raises UserError if it could not be."""
        with _writing(self.directory):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits for what is being written and releases the directory; UserError if it could not
        be written. No half of a checkpoint is left."""
        try:
            with _writing(self.directory):
                self._manager.close()
        finally:
            for half in self.directory.glob(UNFINISHED):
                shutil.rmtree(half, ignore_errors=True)

    def __enter__(self) -> "CheckpointStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, step: int, target: Any) -> tuple[Any, Any]:
        # The record first: orbax would cast a saved dtype to the target's without a word.
        content = ocp.args.Composite(record=ocp.args.JsonRestore())
        found = self._manager.restore(step, args=content)["record"]
        self._check_layout(step, found["layout"], _layout(target))
        content = ocp.args.Composite(state=ocp.args.StandardRestore(target))
        return self._manager.restore(step, args=content)["state"], found["record"]

    def _check_layout(self, step: int, found: dict[str, str], expected: dict[str, str]) -> None:
        for name in sorted(found.keys() | expected.keys()):
            have, want = found.get(name, "nothing"), expected.get(name, "nothing")
            if have != want:
                raise UserError(
                    f"{self.directory / str(step)}: checkpoint of another configuration, found "
                    f"{have} at {name}, expected {want}; use another --workdir "
                    f"({START_OVER})"
                )

    def _check_damaged(self, step: int, error: Exception) -> None:
        """Raises UserError where a checkpoint may be whole, and only reading it was refused."""
        refusal = _from_system(error)
        if refusal is not None and not isinstance(refusal, FileNotFoundError):
            raise UserError(
                f"{self.directory / str(step)}: the checkpoint cannot be read "
                f"({system_says(refusal)}); give access to it, then the same command goes on"
            ) from error


def _check_space(directory: Path, state: Any) -> None:
    """Raises OSError where a state does not fit on the disk: orbax's threads, which would find out,
    go on as they fail and fill the terminal."""
    needed = BESIDES + sum(x.nbytes for x in jax.tree.leaves(state))
    if shutil.disk_usage(directory).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """`writing`, also for what the system says in a ValueError of orbax's array library."""
    with writing(directory):
        try:
            yield
        except ValueError as error:
            refusal = _from_system(error)
            if refusal is None:
                raise
            raise refusal from error


def _from_system(error: Exception) -> OSError | None:
    """The error of the system behind an exception of orbax, None if there is none."""
    if isinstance(error, OSError):
        return error if error.errno else None
    code = re.search(r"os_error_code='(\d+)'", str(error))
    return code and OSError(int(code[1]), os.strerror(int(code[1])))


def _layout(tree: Any) -> dict[str, str]:
    """Path → dtype[shape] of every leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{x.dtype}{list(x.shape)}" for path, x in leaves}


def _abstract(tree: Any) -> Any:
    """Shapes, dtypes and placement of `tree`; where it is not placed, the default device."""
    default = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def describe(x: Any) -> jax.ShapeDtypeStruct:
        sharding = getattr(x, "sharding", None) or default
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    return jax.tree.map(describe, tree)
