"""Timing of a predictor: per slice and per stack, from the network alone to end to end.

And the pace of a stream of frames beside a scanner: percentiles, and frames that would be lost.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnas.data.annotation import LabeledVolume
from jaxnas.engine.timing import Timing, measure_latency, measure_throughput
from jaxnas.segmentation.apply import FrameLatency, Predictor

MODEL, TRANSFER, END_TO_END = "model", "transfer", "end_to_end"
_WARM_SECONDS = 1.0
_FRAMES = 3  # different ones in turn, so that no cache sees the same twice
TARGET_FPS = 22.0  # the rate at which real-time cine frames are reconstructed
WAITING = 1


def time_predictor(
    predictor: Predictor, volume: LabeledVolume, *, slices: int, calls: int, seconds: float
) -> list[dict[str, Any]]:
    """The `timings` of a row of metrics.json, measured on frames of `slices` slices and of one.

    Scopes: `model`, from an array on the device to probabilities there; `transfer`, the copies from
    and to the host as well; `end_to_end`, from a frame as it was scanned to its labels. Latencies
    are of single calls waited for, at least `calls` and for `seconds`; the throughput, in frames a
    second, is that of the model with two calls under way, and otherwise of one call after another.
    The frame is `volume`, its slices repeated or left out to make `slices`.
    """
    found = []
    for unit, count in (("stack", slices), ("slice", 1)):
        frame = _with_slices(volume, count)
        stack, _ = predictor.preparation.forward(frame)
        program = predictor.compiled(stack.shape)
        stacks = [np.roll(stack, shift, axis=-1) for shift in range(_FRAMES)]
        on_device = [(predictor.variables, jax.device_put(x)) for x in stacks]
        frames = [(frame._replace(image=np.roll(frame.image, k, -1)),) for k in range(_FRAMES)]
        for scope, function, inputs in (
            (MODEL, program, on_device),
            (TRANSFER, predictor.predict, [(x,) for x in stacks]),
            (END_TO_END, predictor.segment, frames),
        ):
            timing = measure_latency(
                function,
                inputs,
                warmup_s=min(_WARM_SECONDS, seconds),
                min_calls=calls,
                min_s=seconds,
            )
            rate = 1000.0 / timing.mean
            if scope == MODEL:
                rate = measure_throughput(function, inputs, frames=calls)
            found.append(_entry(scope, unit, stack.shape, timing, rate))
    return found


def budgeted(timings: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """`latency_ms` and `throughput_fps` of a row: those of a stack through the model, the frame and
    the scope that a latency budget bounds. None where they were not measured."""
    for entry in timings:
        if (entry["scope"], entry["unit"]) == (MODEL, "stack"):
            kept = ("p50", "p90", "p99", "n", "scope", "unit")
            return {
                "latency_ms": {name: entry[name] for name in kept},
                "throughput_fps": entry["throughput_fps"],
            }
    return {"latency_ms": None, "throughput_fps": None}


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


def _entry(
    scope: str, unit: str, shape: tuple[int, ...], timing: Timing, rate: float
) -> dict[str, Any]:
    values = {name: x for name, x in timing.to_json().items() if name != "compile_ms"}
    return {"scope": scope, "unit": unit, "shape": list(shape), **values, "throughput_fps": rate}


def _with_slices(volume: LabeledVolume, count: int) -> LabeledVolume:
    """A frame of `count` slices, without labels."""
    chosen = np.arange(count) % len(volume.image)
    return volume._replace(image=volume.image[chosen], labels=None)


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    p50, p90, p99, top = (float(q) for q in np.percentile(values, (50, 90, 99, 100)))
    return {"p50": p50, "p90": p90, "p99": p99, "max": top}
