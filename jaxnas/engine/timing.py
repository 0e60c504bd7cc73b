"""Timing of calls: latency waited for call by call, throughput, and one operation in a chain.

Dispatch is asynchronous, so every measured call is waited for on its whole output. Where inputs
lie is the caller's choice: arrays put on the device before measure the model, NumPy arrays the
transfer as well. All clocks count nanoseconds.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_MS = 1e-6  # milliseconds in a nanosecond
Nanoseconds = Callable[[], int]  # nanoseconds
Call = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """The latency of `n` calls in milliseconds; a high percentile is worth what `n` is.

    `compile_ms` is the time to trace and compile, None for a function that was not compiled here.
    """

    n: int
    mean: float
    std: float
    min: float
    max: float
    p50: float
    p90: float
    p99: float
    compile_ms: float | None = None

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON."""
        return asdict(self)


def summarize(samples_ms: Sequence[float], *, compile_ms: float | None = None) -> Timing:
    """The Timing of samples in milliseconds; ValueError without samples."""
    if not len(samples_ms):
        raise ValueError("found no samples, expected at least one")
    x = np.asarray(samples_ms, np.float64)
    p50, p90, p99 = (float(q) for q in np.percentile(x, (50, 90, 99)))
    return Timing(
        n=len(x),
        mean=float(x.mean()),
        std=float(x.std()),
        min=float(x.min()),
        max=float(x.max()),
        p50=p50,
        p90=p90,
        p99=p99,
        compile_ms=compile_ms,
    )


def measure_latency(
    fn: Callable,
    inputs: Sequence[tuple],
    *,
    warmup_s: float = 1.0,
    warmup_calls: int = 10,
    min_calls: int = 300,
    min_s: float = 5.0,
    clock: Nanoseconds = time.perf_counter_ns,
) -> Timing:
    """The latency of `fn(*args)` over the argument tuples of `inputs`, taken in turn.

    A `jax.jit` function is compiled ahead, apart from the calls; parameters belong among the
    arguments, lest they be folded into the program. The warm-up lasts `warmup_s` seconds and
    `warmup_calls` calls at least, the measurement `min_s` and `min_calls`; the next call starts
    when the previous has ended.
    """
    if not inputs:
        raise ValueError("found no inputs, expected at least one tuple of arguments")
    compile_ms = None
    if hasattr(fn, "lower"):
        start = clock()
        fn = fn.lower(*inputs[0]).compile()
        compile_ms = _MS * (clock() - start)
    turns = cycle(inputs)
    _calls(fn, turns, warmup_calls, warmup_s, clock)
    return summarize(_calls(fn, turns, min_calls, min_s, clock), compile_ms=compile_ms)


def _calls(fn: Callable, turns: Any, count: int, seconds: float, clock: Nanoseconds) -> list[float]:
    """Milliseconds of each call, until there are `count` and `seconds` have passed."""
    samples: list[float] = []
    begin = clock()
    while len(samples) < count or clock() - begin < 1e9 * seconds:
        args = next(turns)
        start = clock()
        jax.block_until_ready(fn(*args))
        samples.append(_MS * (clock() - start))
    return samples


def measure_throughput(
    fn: Callable,
    inputs: Sequence[tuple],
    *,
    frames: int = 300,
    depth: int = 2,
    clock: Nanoseconds = time.perf_counter_ns,
) -> float:
    """Calls per second when the next call is submitted before the previous has ended.

    Up to `depth` calls are under way; the clock stops when the last of `frames` has ended. Each
    input is called once before, so that nothing compiles while the clock runs.
    """
    for args in inputs:
        jax.block_until_ready(fn(*args))
    turns = cycle(inputs)
    under_way: deque = deque()
    start = clock()
    for _ in range(frames):
        if len(under_way) == depth:
            jax.block_until_ready(under_way.popleft())
        under_way.append(fn(*next(turns)))
    jax.block_until_ready(list(under_way))
    return frames / (1e-9 * (clock() - start))


def chain_slope(
    make_chain: Callable[[int], Call],
    k1: int,
    k2: int,
    *,
    repeats: int = 20,
    clock: Nanoseconds = time.perf_counter_ns,
) -> Timing:
    """The time of one operation: (t(k2) − t(k1)) / (k2 − k1), `repeats` times.

    An operation takes about as long as its launch, so it is timed in chains: `make_chain(k)`
    returns a call that runs k dependent operations. The difference of two lengths is free of what
    a call costs besides. Both chains run once before, then in turn, so that a drift of the machine
    meets both; a slope that noise made negative counts as 0.
    """
    if not 0 < k1 < k2:
        raise ValueError(f"chains of {k1} and {k2} operations, expected 0 < k1 < k2")
    short, long = make_chain(k1), make_chain(k2)
    for chain in (short, long):
        jax.block_until_ready(chain())
    slopes = []
    for _ in range(repeats):
        t1, t2 = _once(short, clock), _once(long, clock)
        slopes.append(max(0.0, (t2 - t1) / (k2 - k1)))
    return summarize(slopes)


def _once(call: Call, clock: Nanoseconds) -> float:
    start = clock()
    jax.block_until_ready(call())
    return _MS * (clock() - start)


def operation_chain(fn: Callable, params: Any, x: jax.Array) -> Callable[[int], Call]:
    """`make_chain` of `chain_slope` for y = fn(params, x), of any output shape and dtype.

    One program serves all lengths. The loop carries x and y. Each turn reads one number of the
    previous y into x, which it leaves as it is while that number is finite: so every operation
    waits for the one before, none can be hoisted, and no value grows or fades on the way. As y is
    carried, all of it has to be computed, though one number of it is read.
    """
    first = (0,) * x.ndim

    def turn(params: Any, x: jax.Array, y: Any) -> tuple[jax.Array, Any]:
        number = jax.tree.leaves(y)[0].ravel()[0].astype(x.dtype)
        x = x.at[first].set(jnp.where(jnp.isfinite(number), x[first], number))
        return x, fn(params, x)

    @jax.jit
    def run(params: Any, x: jax.Array, length: jax.Array) -> Any:
        y = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(fn, params, x))
        return jax.lax.fori_loop(0, length, lambda _, c: turn(params, *c), (x, y))[1]

    return lambda length: lambda: run(params, x, length)
