"""The latency table of a device: milliseconds per operation, shape and dtype, as versioned JSON.

It is measured part by part of a network. The time of a part is the slope of chains of dependent
calls (see `engine.timing`), so that what a call costs to launch is left out.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.files import read_json, write_json
from jaxnas.engine.timing import Timing, chain_slope, operation_chain
from jaxnas.ops.conv import default_precision

SCHEMA = 1
_UNIT = "ms"
SHORT = 2
REPEATS = 10
TARGET_MS = 20.0  # how much longer the long chain shall take than the short one
LONGEST = 400
OnPart = Callable[[str, Timing], None]


@dataclass(frozen=True)
class TableEntry:
    """One operation: its time in a chain over `count` measurements, and p50 of a lone call; ms.

    The latency of the operation is `p50`; `call` holds the launch as well, None if not measured.
    """

    count: int
    mean: float
    std: float
    p50: float
    p90: float
    p99: float
    call: float | None = None


@dataclass(frozen=True)
class LatencyTable:
    """The outcome of `profile` at one batch size: the device, how it computed, and the entries.

    `device` is jax's device kind, `precision` the matmul precision of the measured programs.
    """

    device: str
    jax: str
    precision: str
    batch: int
    entries: Mapping[str, TableEntry]

    def milliseconds(self, keys: Iterable[str], *, where: str = "latency table") -> list[float]:
        """p50 of every key, in order; UserError naming the first key the table lacks."""
        keys = list(keys)
        missing = [key for key in keys if key not in self.entries]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            close = difflib.get_close_matches(missing[0], self.entries, n=1)
            hint = f"; the closest of its entries is {close[0]}" if close else ""
            raise UserError(
                f"{where}: lacks the operation {missing[0]}{more}{hint}; run `jaxnas profile` with "
                f"this config"
            )
        return [self.entries[key].p50 for key in keys]


def op_key(
    name: str, *, size: tuple[int, int], cin: int, cout: int, batch: int, dtype: str = "float32"
) -> str:
    """The key of an operation: `sep_conv_3x3 1x64x64x16 -> 16 float32` (batch, input size, Cin).

    `name` says all that is not a shape: kernel, dilation, implementation, kind of scaling.
    """
    height, width = size
    return f"{name} {batch}x{height}x{width}x{cin} -> {cout} {dtype}"


def make_entry(slope: Timing, *, call: Timing | None = None) -> TableEntry:
    """The entry of a `chain_slope` and, if there is one, the `measure_latency` of a lone call."""
    names = [field.name for field in fields(TableEntry) if field.name not in ("count", "call")]
    values = {name: getattr(slope, name) for name in names}
    return TableEntry(count=slope.n, call=None if call is None else call.p50, **values)


def device_kind() -> str:
    """The device the default backend computes on, as jax names it."""
    return jax.devices()[0].device_kind


def check_device(table: LatencyTable, *, device: str, where: str = "latency table") -> LatencyTable:
    """Returns `table` if it was measured on `device`; otherwise UserError."""
    if table.device != device:
        raise UserError(
            f"{where}: was measured on {table.device!r}, this device is {device!r}; run `jaxnas "
            f"profile` here, latencies do not carry over"
        )
    return table


def save_table(path: str | Path, table: LatencyTable) -> Path:
    """Writes a table atomically."""
    head = {"schema": SCHEMA, "unit": _UNIT}
    body = {name: getattr(table, name) for name in ("device", "jax", "precision", "batch")}
    entries = {key: asdict(entry) for key, entry in table.entries.items()}
    return write_json(path, head | body | {"entries": entries})


def load_table(path: str | Path) -> LatencyTable:
    """Reads a table; UserError when missing, not JSON, malformed or of another schema."""
    value = read_json(path)
    if not isinstance(value, Mapping) or "schema" not in value:
        raise UserError(
            f"{path}: is not a latency table (no key schema); expected a file written by `jaxnas "
            f"profile`"
        )
    if value["schema"] != SCHEMA or value.get("unit") != _UNIT:
        raise UserError(
            f"{path}: has schema {value['schema']!r} in {value.get('unit')!r}, this version reads "
            f"schema {SCHEMA} in {_UNIT!r}; run `jaxnas profile` again"
        )
    try:
        return LatencyTable(
            str(value["device"]),
            str(value["jax"]),
            str(value["precision"]),
            int(value["batch"]),
            {key: _entry(key, entry, path) for key, entry in value["entries"].items()},
        )
    except KeyError as error:
        raise UserError(f"{path}: lacks the key {error}; run `jaxnas profile` again") from None
    except (AttributeError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: is malformed ({error}); run `jaxnas profile` again") from None


def ignore_part(key: str, timing: Timing) -> None:
    """The listener who does not care."""


def measure_table(
    timings: Iterable[tuple[str, Timing]], *, batch: int, on_part: OnPart
) -> LatencyTable:
    """The table of this device out of pairs (key, timing), each measured as it is asked for."""
    entries = {}
    for key, timing in timings:
        entries[key] = make_entry(timing)
        on_part(key, timing)
    precision = default_precision() or "default"
    return LatencyTable(device_kind(), jax.__version__, precision, batch, entries)


def time_in_chain(fn: Callable[[Any, jax.Array], Any], variables: Any, x: jax.Array) -> Timing:
    """The milliseconds of `fn(variables, x)` in a chain of calls."""
    chain = operation_chain(fn, variables, x)
    # A first look tells how long a chain must be to be measured well.
    once = chain_slope(chain, 1, 1 + SHORT, repeats=2).p50
    long = SHORT + int(np.clip(TARGET_MS / max(once, 1e-3), 4, LONGEST))
    return chain_slope(chain, SHORT, long, repeats=REPEATS)


def _entry(key: str, value: Any, path: str | Path) -> TableEntry:
    """An entry of a JSON value; UserError unless its latency is a number that is not negative."""
    entry = TableEntry(**value)
    if not (isinstance(entry.p50, int | float) and entry.p50 >= 0):
        raise UserError(
            f"{path}: {key}: p50 is {entry.p50!r}; expected milliseconds, not negative; run "
            f"`jaxnas profile` again"
        )
    return entry
