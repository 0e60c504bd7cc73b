"""A run: one resolved config and the directory that holds everything it produces."""

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jaxnas.core.config import dump_config, fingerprint, load_config
from jaxnas.core.errors import UserError
from jaxnas.core.files import write_atomic
from jaxnas.core.schema import Config

CONFIG = "config.yaml"


@dataclass(frozen=True)
class Run:
    """`config` is what is run, `path` where it is kept, `quiet` whether to show progress."""

    config: Config
    path: Path
    quiet: bool = False

    @property
    def genotype_path(self) -> Path:
        """Where the run's genotype stands once it is known."""
        return self.path / "genotype.json"

    def checkpoints(self, name: str) -> Path:
        """The checkpoint directory of one stage or network."""
        return self.path / "checkpoints" / name


def open_run(
    target: Path,
    *,
    overrides: Sequence[str] = (),
    workdir: Path | None = None,
    fresh: bool = False,
    quiet: bool = False,
) -> Run:
    """The run of a config file, or the existing run of a run directory.

    A run directory belongs to one config: asking for another one in the same place is refused,
    unless `fresh` starts it over.
    """
    target = Path(target)
    if target.is_dir():
        if not (target / CONFIG).is_file():
            raise UserError(
                f"{target}: not a run directory (it has no {CONFIG}); give a config file, or the "
                f"directory of an earlier run"
            )
        if workdir is not None and workdir.resolve() != target.resolve():
            raise UserError(f"--workdir {workdir}: the run already lives in {target}; leave it out")
        config, path = load_config(target / CONFIG, overrides=overrides), target
    else:
        config = load_config(target, overrides=overrides)
        path = workdir or Path("runs") / f"{config.name}-{fingerprint(config)}"
    if fresh and path.exists():
        _remove(path)
    _claim(path, config)
    return Run(config, path.resolve(), quiet)


def _remove(path: Path) -> None:
    """Deletes a run directory; anything that is not one is left alone."""
    if any(path.iterdir()) and not (path / CONFIG).is_file():
        raise UserError(f"{path}: not a run directory, --fresh will not delete it; choose another")
    shutil.rmtree(path)


def _claim(path: Path, config: Config) -> None:
    """Writes the config into a new run directory, or checks that an existing one agrees."""
    resolved = path / CONFIG
    if not resolved.exists():
        if path.exists() and not path.is_dir():
            raise UserError(f"{path}: is a file; --workdir needs a directory")
        write_atomic(resolved, dump_config(config))
        return
    if fingerprint(load_config(resolved)) != fingerprint(config):
        raise UserError(
            f"{path}: holds a run of another config; use --fresh to start over, or another "
            f"--workdir"
        )


@contextmanager
def exclusive(run: Run) -> Iterator[None]:
    """Holds the run directory for this process; a second process is refused, not mixed in."""
    with open(run.path / ".lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"{run.path}: another process is working on this run; wait for it, or use "
                f"another --workdir"
            ) from None
        yield
