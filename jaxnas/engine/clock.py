"""An honest clock: compilation, steps, waiting for data and everything else, kept apart."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Clock:
    """Wall time of a run by phase, without double counting.

    `phase(name)` adds the time of a block to its name. The loop uses `compile` (trace, lower,
    compile), `step` (dispatch and waiting for the device), `data` (waiting for a batch), and
    `save`, `validate`. Device work is waited for inside `step`, so no other phase hides it.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.steps = 0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the wall time of the block, in seconds, to phase `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def summary(self) -> dict[str, float | int | None]:
        """The run in numbers: `compile_s`, `steps`, `steady_s` (steps and the data they waited
        for), `step_ms` (their mean, None without a step), `data_share` of `steady_s`."""
        waited = self.seconds.get("data", 0.0)
        steady = self.seconds.get("step", 0.0) + waited
        return {
            "compile_s": self.seconds.get("compile", 0.0),
            "steps": self.steps,
            "steady_s": steady,
            "step_ms": 1e3 * steady / self.steps if self.steps else None,
            "data_share": waited / steady if steady else None,
        }

    def to_json(self) -> dict[str, Any]:
        """The clock as JSON, so that a resumed run goes on counting."""
        return {"steps": self.steps, "seconds": dict(self.seconds)}

    def from_json(self, value: dict[str, Any]) -> None:
        """Continues from a value of `to_json`."""
        self.steps, self.seconds = value["steps"], dict(value["seconds"])
