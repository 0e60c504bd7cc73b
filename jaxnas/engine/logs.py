"""The numbers that a run reports while it runs: `log.jsonl`, and the same for TensorBoard.

The JSONL file is the record; the event file is a view of it, written anew from the record
whenever a run is opened or rewound, so both always tell the same story.
"""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import (
    Event,  # pyright: ignore[reportAttributeAccessIssue]  # made by protobuf at run time
)
from tensorboardX.summary import scalar

from jaxnas.core.errors import UserError
from jaxnas.core.files import write_atomic, writing
from jaxnas.engine.rundir import RunDir

EVENTS = "events.out.tfevents.*"
_LABEL_KEYS = ("stage", "model", "step")


class MetricWriter:
    """Scalars of a run directory, one line and one set of events per logged step.

    A line is {"stage", "model", "step", name: number, …}; its event tags are stage/model/name.
    """

    def __init__(self, run_dir: str | Path) -> None:
        self.path = RunDir(Path(run_dir)).log.path
        self._rewrite(read_log(self.path))

    def write(self, stage: str, model: str, step: int, values: Mapping[str, float]) -> None:
        """Appends one line; it is on its way to the disk when this returns."""
        row = {"stage": stage, "model": model, "step": step, **values}
        with writing(self.path), self.path.open("a") as file:
            file.write(_line(row))
        self._show([row])

    def rewind(self, stage: str, model: str, step: int) -> None:
        """Drops the lines of (stage, model) after `step`: they will be written again."""
        rows = read_log(self.path)
        kept = [r for r in rows if (r["stage"], r["model"]) != (stage, model) or r["step"] <= step]
        if len(kept) < len(rows):
            self.close()
            self._rewrite(kept)

    def close(self) -> None:
        """Closes the event file."""
        with writing(self.path.parent / EVENTS):
            self._events.close()

    def __enter__(self) -> "MetricWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        """Makes both files say exactly `rows`."""
        write_atomic(self.path, "".join(map(_line, rows)))
        with writing(self.path.parent / EVENTS):
            for stale in self.path.parent.glob(EVENTS):
                stale.unlink()
            # Not a SummaryWriter: its thread would meet a full disk where nobody hears of it.
            self._events = EventsWriter(str(self.path.parent / "events"))
        self._show(rows)

    def _show(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds rows to the event file, which is on its way to the disk when this returns."""
        with writing(self.path.parent / EVENTS):
            for row in rows:
                for name, value in row.items():
                    if name not in _LABEL_KEYS:
                        tag = f"{row['stage']}/{row['model']}/{name}"
                        event = Event(step=row["step"], summary=scalar(tag, value))
                        event.wall_time = time.time()
                        self._events.write_event(event)
            self._events.flush()


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a `log.jsonl`; none if there is no such file.

    A last line cut short by a killed process is left out; any other bad line raises UserError.
    """
    path = Path(path)
    if not path.exists():
        return []
    *lines, _unfinished = path.read_text().split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            raise UserError(
                f"{path}:{number}: not a JSON line; delete that line to go on"
            ) from None
    return rows


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, allow_nan=False) + "\n"
