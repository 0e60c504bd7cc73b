"""The loop every run shares: training, searching, at one site or many.

Whatever decides the outcome is a pure function of (state, step), so a run that was stopped or
killed at any moment and started again ends in the same bytes as one that was not. The first signal
to stop is a request, the second has its usual effect.
"""

import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.console import progress_bar
from jaxnas.core.errors import Diverged, Interrupted
from jaxnas.core.trees import all_finite
from jaxnas.data.batches import BatchSource, prefetch
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.step import StepMetrics

STEPS_AHEAD = 4  # steps the host may be ahead of the device: their batches are all in memory
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class HostState(Protocol):
    """A small state outside the device, saved with every checkpoint."""

    def to_json(self) -> Any:
        """The state as a JSON value."""
        ...

    def from_json(self, value: Any) -> None:
        """Takes over a value of `to_json`."""


@dataclass(frozen=True)
class Cadence:
    """Every how many steps to log, to checkpoint and to validate (0: never); the last step
    always does all three."""

    log: int
    checkpoint: int
    validate: int = 0


@dataclass
class Journal:
    """The progress of a run, kept beside its state: the other half of a checkpoint."""

    step: int = 0
    stopped: bool = False
    pending: list[StepMetrics] = field(default_factory=list)


def run_loop(
    advance: Callable[[Any, Any], tuple[Any, StepMetrics]],
    state: Any,
    batches: BatchSource,
    *,
    steps: int,
    store: CheckpointStore,
    writer: MetricWriter,
    stage: str,
    model: str,
    every: Cadence,
    validate: Callable[[Any], Mapping[str, float]] | None = None,
    on_log: Callable[[int, Any, Mapping[str, float]], bool | None] | None = None,
    host: HostState | None = None,
    clock: Clock | None = None,
    quiet: bool = False,
) -> Any:
    """Runs `advance` until `steps` are done and returns the final state.

    `advance(state, batch)` is one step, compiled (see `Advance`), or one federated round; it may
    consume the state it is given. `state` is the state before step 0 and stays valid. The run
    resumes by these rules: (1) a checkpoint in `store` wins over `state`; (2) if that run had
    finished, its state is returned at once; (3) lines of the log after the checkpoint are dropped
    and written again.

    Metrics are averaged since the last log, each over the steps that have it. At a logged or
    validated step `on_log(step, state, row)` sees what is written; it must not keep `state`, and
    ends the run by returning True, which may depend on nothing but its arguments and `host`.

    Raises Diverged as soon as a logged interval holds a value that is not finite, or a state that
    is not finite would be saved; the newest checkpoint is then the last good state. Raises
    Interrupted after SIGTERM or SIGINT, with everything up to that step on disk.
    """
    clock = clock or Clock()
    run = _Run(advance, steps, store, writer, stage, model, every, validate, on_log, host, clock)
    state, journal = run.begin(state)
    writer.rewind(stage, model, journal.step)
    if journal.stopped or journal.step >= steps:
        return state
    name, start = f"{stage} {model}", journal.step
    with (
        StopRequest() as stop,
        ProgressBar(name, start, steps, quiet=quiet) as bar,
        closing(prefetch(batches, start, steps)) as stream,
    ):
        while journal.step < steps and not journal.stopped:
            with clock.phase("data"):
                batch = next(stream)
            state = run.advance(state, batch, journal)
            bar.advance()
            row = run.report(state, journal, last=journal.step == steps)
            if row:
                bar.note(row)
            ended = journal.stopped or journal.step == steps
            if ended or stop.requested or journal.step % every.checkpoint == 0:
                run.save(state, journal)
            if stop.requested:
                store.wait()
                raise Interrupted(
                    f"{name}: stopped after step {journal.step} of {steps}, which is saved in "
                    f"{store.directory}; continue with the same command"
                )
    store.wait()
    return state


@dataclass
class _Run:
    """The parts of one run, and what is done with them between steps."""

    take_step: Callable
    steps: int
    store: CheckpointStore
    writer: MetricWriter
    stage: str
    model: str
    every: Cadence
    validate: Callable | None
    on_log: Callable | None
    host: HostState | None
    clock: Clock

    def begin(self, state: Any) -> tuple[Any, Journal]:
        """The newest checkpoint; where there is none, `state`, saved as step 0."""
        # A copy: the caller keeps its arrays, and no buffer is donated twice.
        state = jax.tree.map(lambda x: jnp.array(x, dtype=x.dtype, copy=True), state)
        found = self.store.restore(state)
        if found is None:
            journal = Journal()
            self.save(state, journal)
            return state, journal
        state, record = found
        if self.host is not None:
            self.host.from_json(record["host"])
        self.clock.from_json(record["clock"])
        pending = [StepMetrics.from_json(value) for value in record["pending"]]
        return state, Journal(record["step"], record["stopped"], pending)

    def advance(self, state: Any, batch: Any, journal: Journal) -> Any:
        """One step; waits for the device only where it is `STEPS_AHEAD` steps behind."""
        state, readings = self.take_step(state, batch)
        journal.pending.append(readings)
        journal.step += 1
        if len(journal.pending) > STEPS_AHEAD:
            with self.clock.phase("step"):
                jax.block_until_ready(journal.pending[-STEPS_AHEAD - 1])
        return state

    def report(self, state: Any, journal: Journal, *, last: bool) -> dict[str, float]:
        """Writes and returns what is due at this step; empty if nothing is."""
        row: dict[str, float] = {}
        if last or journal.step % self.every.log == 0:
            row |= self._means(journal)
            journal.pending.clear()
        if self.validate and (last or _due(journal.step, self.every.validate)):
            with self.clock.phase("validate"):
                row |= self._finite(self.validate(state), journal.step)
        if row:
            self.writer.write(self.stage, self.model, journal.step, row)
            if self.on_log is not None:
                journal.stopped = bool(self.on_log(journal.step, state, row))
        return row

    def save(self, state: Any, journal: Journal) -> None:
        """Writes a checkpoint, after seeing that all of it is finite."""
        self._means(journal)
        if not _all_finite(state):
            self._diverged("the state", journal.step)
        record = {
            "step": journal.step,
            "stopped": journal.stopped,
            "finished": journal.stopped or journal.step >= self.steps,
            "pending": [readings.to_json() for readings in journal.pending],
            "host": self.host.to_json() if self.host is not None else None,
            "clock": self.clock.to_json(),
        }
        with self.clock.phase("save"):
            self.store.save(journal.step, state, record)

    def _means(self, journal: Journal) -> dict[str, float]:
        """The mean of every metric since the last log; one transfer from the device."""
        if not journal.pending:
            return {}
        with self.clock.phase("step"):
            journal.pending = jax.device_get(journal.pending)
        found: dict[str, list[float]] = {}
        first = journal.step - len(journal.pending) + 1
        for step, readings in enumerate(journal.pending, start=first):
            for name, value in self._finite(readings.to_json(), step).items():
                found.setdefault(name, []).append(value)
        return {name: float(np.mean(values)) for name, values in found.items()}

    def _finite(self, row: Mapping[str, float], step: int) -> Mapping[str, float]:
        for name, value in row.items():
            if not np.isfinite(value):
                self._diverged(f"{name} = {value}", step)
        return row

    def _diverged(self, what: str, step: int) -> None:
        latest = self.store.latest()
        kept = "no state was saved" if latest is None else f"the state of step {latest} is kept"
        raise Diverged(
            f"{self.stage} {self.model}: {what} after step {step} is not finite; {kept} in "
            f"{self.store.directory}; lower the learning rate or clip the gradient"
        )


_all_finite = jax.jit(all_finite)


class StopRequest:
    """A context in which SIGTERM and SIGINT set `requested` instead of ending the process.

    The first signal restores the handlers it found, so a second one ends the process at once.
    Outside the main thread Python allows no handlers: `requested` then stays False.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._request) for number in STOP_SIGNALS
            }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _request(self, number: int, frame: object) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


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


def _due(step: int, every: int) -> bool:
    """True at every `every`-th step; never if `every` is 0."""
    return every > 0 and step % every == 0
