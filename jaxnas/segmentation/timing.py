"""Timing of a predictor: per slice and per stack, from the network alone to end to end."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from jaxnas.data.annotation import LabeledVolume
from jaxnas.engine.timing import Timing, measure_latency, measure_throughput
from jaxnas.segmentation.apply import Predictor

MODEL, TRANSFER, END_TO_END = "model", "transfer", "end_to_end"
_WARM_SECONDS = 1.0
_FRAMES = 3  # different ones in turn, so that no cache sees the same twice


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


def _entry(
    scope: str, unit: str, shape: tuple[int, ...], timing: Timing, rate: float
) -> dict[str, Any]:
    values = {name: x for name, x in timing.to_json().items() if name != "compile_ms"}
    return {"scope": scope, "unit": unit, "shape": list(shape), **values, "throughput_fps": rate}


def _with_slices(volume: LabeledVolume, count: int) -> LabeledVolume:
    """A frame of `count` slices, without labels."""
    chosen = np.arange(count) % len(volume.image)
    return volume._replace(image=volume.image[chosen], labels=None)
