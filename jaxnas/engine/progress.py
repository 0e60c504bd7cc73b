"""The progress bar of a run."""

from collections.abc import Mapping
from types import TracebackType

from jaxnas.core.console import progress_bar


class ProgressBar:
    """A bar that counts steps and shows the latest metrics; shows nothing when `quiet`."""

    def __init__(self, name: str, start: int, steps: int, *, quiet: bool = False) -> None:
        self._progress = progress_bar(quiet=quiet)
        self._task = self._progress.add_task(name, total=steps, completed=start, note="")

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """Counts one step."""
        self._progress.advance(self._task)

    def note(self, metrics: Mapping[str, float]) -> None:
        """Shows every loss among `metrics`, but not those of single clients (loss/NAME)."""
        names = [name for name in metrics if "loss" in name and "/" not in name]
        losses = (f"{name} {metrics[name]:.4g}" for name in names)
        self._progress.update(self._task, note="  ".join(losses))
