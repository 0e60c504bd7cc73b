"""Dropped frames against closed forms and a simulation in small steps of time."""

import numpy as np
import pytest

from jaxnas.segmentation.apply import FrameLatency
from jaxnas.segmentation.timing import serve, stream_summary


def by_small_steps(latencies, fps, *, per_ms=64):
    """A clock that ticks: arrivals, a slot for the waiting frame, one worker."""
    # All times are whole numbers of ticks, so nothing is rounded.
    period = round(per_ms * 1000 / fps)
    need = [round(per_ms * x) for x in latencies]
    arrivals = {i * period: i for i in range(len(need))}
    waiting, busy, left, dropped = None, None, 0, set()
    for tick in range(period * len(need) + sum(need) + 1):
        if busy is not None and left == 0:
            busy = None
        if busy is None and waiting is not None:
            busy, left, waiting = waiting, need[waiting], None
        if tick in arrivals:
            i = arrivals[tick]
            if busy is None:
                busy, left = i, need[i]
            elif waiting is None:
                waiting = i
            else:
                dropped.add(i)
        left -= 1
    return dropped


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mean", [30.0, 45.0, 70.0, 150.0])
def test_drops_are_those_of_a_ticking_clock(seed, mean):
    rng = np.random.default_rng(seed)
    latencies = np.maximum(np.round(rng.gamma(2, mean / 2, 60) * 64) / 64, 1 / 64)
    service = serve(latencies, fps=20.0)  # 50 ms
    assert {*np.flatnonzero(service.dropped)} == by_small_steps(latencies, 20.0)


@pytest.mark.parametrize(("latency", "served"), [(10, 1), (50, 1), (100, 1 / 2), (150, 1 / 3)])
def test_a_constant_latency_serves_its_share(latency, served):
    service = serve([latency] * 600, fps=20.0)
    assert 1 - service.dropped.mean() == pytest.approx(served, abs=0.005)
    known = service.response_ms[~service.dropped]
    # Within the period nobody waits; beyond it, at most for the frame computed and one waiting.
    assert known.max() <= (latency if served == 1 else 3 * latency)
    assert np.isnan(service.response_ms[service.dropped]).all()


def test_one_slow_frame_delays_one_and_drops_those_behind():
    service = serve([10.0] * 3 + [170.0] + [10.0] * 6, fps=20.0)
    # Frame 3 (at 150 ms) ends at 320; frame 4 (200) waits; 5 (250) and 6 (300) find no place.
    assert np.flatnonzero(service.dropped).tolist() == [5, 6]
    assert service.response_ms[4] == pytest.approx(130)
    assert service.response_ms[7] == pytest.approx(10)


def test_the_summary_adds_up():
    latencies = [FrameLatency(2.0, 5.0 + i / 10, 3.0) for i in range(101)]
    summary = stream_summary(latencies, fps=22.0)
    assert summary["total"] == pytest.approx({"p50": 15, "p90": 19, "p99": 19.9, "max": 20})
    assert summary["forward"]["p50"] == pytest.approx(10) and summary["prepare"]["max"] == 2
    assert summary["throughput_fps"] == pytest.approx(1000 / 15)
    assert summary["response"] == pytest.approx(summary["total"])
    assert summary["dropped"] == 0
    assert stream_summary(latencies, fps=200.0)["dropped"] > 20


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="no frames"):
        stream_summary([])
    with pytest.raises(ValueError, match="positive rate"):
        serve([1.0], fps=0)
