"""Timing by a clock that only moves when something works, and once by the real one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.engine.timing import (
    chain_slope,
    measure_latency,
    measure_throughput,
    operation_chain,
    summarize,
)

MS = 1_000_000


class FakeTime:
    """A clock in nanoseconds that work advances."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now

    def work(self, ms):
        self.now += round(ms * MS)


class Pending:
    """An output that takes `ms` of fake time to wait for, once."""

    def __init__(self, clock, ms, log):
        self.clock, self.ms, self.log = clock, ms, log

    def block_until_ready(self):
        self.clock.work(self.ms)
        self.log.append("ready")
        self.ms = 0
        return self


def test_latency_is_that_of_every_call_waited_for():
    clock, log = FakeTime(), []
    durations = iter([100.0] * 10 + list(range(1, 101)))  # ten slow calls to warm up

    def fn(x):
        log.append(x)
        return {"out": Pending(clock, next(durations), log)}

    timing = measure_latency(
        fn, [("a",), ("b",), ("c",)], warmup_s=0.5, min_calls=100, min_s=0, clock=clock
    )
    assert (timing.n, timing.min, timing.max) == (100, 1.0, 100.0)
    assert timing.mean == pytest.approx(50.5)
    assert timing.p50 == pytest.approx(50.5)
    assert timing.p90 == pytest.approx(np.percentile(range(1, 101), 90))
    assert timing.p99 == pytest.approx(np.percentile(range(1, 101), 99))
    assert timing.std == pytest.approx(np.std(range(1, 101)))
    assert timing.compile_ms is None
    assert log[::2] == (["a", "b", "c"] * 37)[:110]  # in turn, never the same twice
    assert set(log[1::2]) == {"ready"}  # each one waited for before the next


@pytest.mark.parametrize(("min_calls", "min_s", "n"), [(5, 0.1, 50), (80, 0.1, 80), (1, 0.0, 1)])
def test_both_the_calls_and_the_seconds_are_reached(min_calls, min_s, n):
    clock = FakeTime()
    timing = measure_latency(
        lambda: clock.work(2.0),
        [()],
        warmup_s=0.0,
        min_calls=min_calls,
        min_s=min_s,
        clock=clock,
    )
    assert timing.n == n


def test_warm_up_lasts_its_seconds():
    clock = FakeTime()
    measure_latency(
        lambda: clock.work(10.0), [()], warmup_s=2.0, min_calls=1, min_s=0.0, clock=clock
    )
    assert clock.now == 2010 * MS


def test_compilation_is_told_apart():
    clock = FakeTime()

    class Compiled:
        def lower(self, x):
            clock.work(30.0)
            return self

        def compile(self):
            clock.work(70.0)
            return lambda x: clock.work(1.0)

    timing = measure_latency(Compiled(), [(0,)], warmup_s=0, min_calls=3, min_s=0, clock=clock)
    assert (timing.compile_ms, timing.max) == (100.0, 1.0)


@pytest.mark.parametrize(("depth", "fps"), [(1, 100), (2, 200), (4, 400)])
def test_throughput_keeps_calls_under_way(depth, fps):
    """A device that works on any number of frames at a time, each ready 10 ms after submission."""
    clock = FakeTime()

    class Frame:
        def __init__(self):
            self.due = clock.now + 10 * MS

        def block_until_ready(self):
            clock.now = max(clock.now, self.due)
            return self

    found = measure_throughput(
        lambda x: Frame(), [(0,), (1,)], frames=100, depth=depth, clock=clock
    )
    assert found == pytest.approx(fps, rel=0.01)


def test_throughput_counts_the_last_frame():
    clock = FakeTime()
    found = measure_throughput(
        lambda: Pending(clock, 5.0, []), [()], frames=7, depth=3, clock=clock
    )
    assert found == pytest.approx(200)


def test_the_slope_is_free_of_what_a_call_costs():
    clock = FakeTime()
    drift = iter(np.linspace(3.0, 4.0, 1000))

    def make_chain(k):
        return lambda: clock.work(next(drift) + 0.25 * k)

    slope = chain_slope(make_chain, 10, 110, repeats=20, clock=clock)
    assert slope.n == 20
    assert slope.p50 == pytest.approx(0.25, rel=1e-3)


def test_a_slope_is_never_negative():
    clock = FakeTime()
    slope = chain_slope(lambda k: lambda: clock.work(100 - k), 1, 3, repeats=4, clock=clock)
    assert (slope.min, slope.max) == (0.0, 0.0)


@pytest.mark.parametrize("lengths", [(0, 3), (3, 3), (4, 2)])
def test_lengths_of_chains(lengths):
    with pytest.raises(ValueError, match="0 < k1 < k2"):
        chain_slope(lambda k: lambda: None, *lengths)


def test_no_samples_and_no_inputs():
    with pytest.raises(ValueError, match="no samples"):
        summarize([])
    with pytest.raises(ValueError, match="no inputs"):
        measure_latency(lambda: None, [])


OPERATIONS = {
    "same": lambda w, x: jnp.tanh(x * w),
    "smaller": lambda w, x: x[:, ::2, ::2].sum(axis=-1) * w,
    "scalar": lambda w, x: (x * w).sum(),
    "larger": lambda w, x: jnp.repeat(x * w, 3, axis=1),
    "bfloat16": lambda w, x: (x * w).astype(jnp.bfloat16),
    "several": lambda w, x: {"a": x * w, "b": x.sum(axis=0) + w},
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_chain_computes_the_operation_whatever_its_shape(name):
    fn, x = OPERATIONS[name], jnp.arange(32.0).reshape(1, 4, 4, 2)
    make_chain = operation_chain(fn, jnp.float32(0.5), x)
    for length in (1, 5):
        jax.tree.map(
            lambda found, expected: np.testing.assert_allclose(found, expected, rtol=1e-6),
            make_chain(length)(),
            fn(jnp.float32(0.5), x),
        )


def test_a_chain_runs_its_operation_once_per_link():
    calls = []

    def fn(w, x):
        count = jax.pure_callback(
            lambda v: calls.append(1) or v, jax.ShapeDtypeStruct((), x.dtype), x.sum()
        )
        return x * w + 0 * count

    chain = operation_chain(fn, jnp.float32(2.0), jnp.ones((2, 2)))
    jax.block_until_ready(chain(7)())
    assert len(calls) == 7


def test_every_link_reads_the_one_before():
    """1/0 = ∞ goes into the second link, which makes it 1/∞ = 0."""
    chain = operation_chain(lambda w, x: w / x, jnp.float32(1.0), jnp.array([[0.0, 2.0]]))
    for length, first in ((1, np.inf), (2, 0.0), (3, 0.0)):
        np.testing.assert_array_equal(chain(length)(), [[first, 0.5]])


def test_real_time():
    x = jnp.ones((64, 64))
    timing = measure_latency(
        jax.jit(lambda w, x: w @ x), [(x, x), (x, x + 1)], warmup_s=0, min_calls=20, min_s=0
    )
    assert timing.n == 20 and timing.compile_ms > 0
    assert 0 < timing.min <= timing.p50 <= timing.p90 <= timing.p99 <= timing.max < 1e3
    assert measure_throughput(jax.jit(lambda w, x: w @ x), [(x, x)], frames=20) > 1
    slope = chain_slope(operation_chain(lambda w, x: jnp.sin(x @ w), x, x), 10, 200, repeats=5)
    assert 0 < slope.p50 < 10
