"""The times of the parts of a network, one by one, as the latency table of this device.

The time of a part is the slope of chains of dependent calls (see `engine.timing`), so that what a
call costs to launch is left out.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from jaxnas.engine.timing import Timing, chain_slope, operation_chain
from jaxnas.ops.conv import default_precision
from jaxnas.search.latency_table import LatencyTable, device_kind, make_entry

SHORT = 2
REPEATS = 10
TARGET_MS = 20.0  # how much longer the long chain shall take than the short one
LONGEST = 400

OnPart = Callable[[str, Timing], None]


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
