"""The pace of a stream of frames beside a scanner: percentiles, and frames that would be lost."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.segmentation.apply import FrameLatency

TARGET_FPS = 22.0  # the rate at which real-time cine frames are reconstructed
WAITING = 1


class Service(NamedTuple):
    """The fate of frames that arrive at a fixed rate.

    `dropped` bool (n,) says which frames are lost, `response_ms` float64 (n,) the time from the
    arrival of a frame to its labels, NaN for the lost ones.
    """

    dropped: np.ndarray
    response_ms: np.ndarray


def serve(latencies_ms: Sequence[float], *, fps: float = TARGET_FPS) -> Service:
    """Plays measured latencies against frames that arrive every 1000/`fps` ms.

    One frame is computed at a time, in order of arrival; one more may wait. A frame that arrives
    while another is computed and another one waits is dropped. A frame that ends at the very moment
    of an arrival is out of the way. ValueError for a rate that is not positive.
    """
    if not fps > 0:
        raise ValueError(f"expected a positive rate, got {fps} frames a second")
    dropped = np.zeros(len(latencies_ms), bool)
    response = np.full(len(latencies_ms), np.nan)
    ends: list[float] = []  # of the frames still in the system, at most 1 + WAITING
    for i, latency in enumerate(latencies_ms):
        arrival = i * 1000.0 / fps
        ends = [end for end in ends if end > arrival]
        if len(ends) > WAITING:
            dropped[i] = True
            continue
        end = max([arrival, *ends]) + latency
        ends.append(end)
        response[i] = end - arrival
    return Service(dropped, response)


def stream_summary(latencies: Sequence[FrameLatency], *, fps: float = TARGET_FPS) -> dict[str, Any]:
    """The latencies of a stream as JSON: in ms, rates in frames a second.

    `total`, `prepare`, `forward`, `restore` and `response` (with the wait for the frame before)
    have p50, p90, p99 and max; `throughput_fps` is that of frames one after the other. ValueError
    without frames.
    """
    if not latencies:
        raise ValueError("found no frames, expected at least one")
    totals = [latency.total for latency in latencies]
    service = serve(totals, fps=fps)
    parts = {name: [getattr(x, name) for x in latencies] for name in FrameLatency._fields}
    times = {"total": totals, **parts, "response": service.response_ms[~service.dropped]}
    return {
        "frames": len(totals),
        **{name: _percentiles(values) for name, values in times.items()},
        "throughput_fps": 1000.0 / float(np.mean(totals)),
        "target_fps": fps,
        "dropped": int(service.dropped.sum()),
    }


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    p50, p90, p99, top = (float(q) for q in np.percentile(values, (50, 90, 99, 100)))
    return {"p50": p50, "p90": p90, "p99": p99, "max": top}
