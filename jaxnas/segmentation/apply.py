"""A trained segmentation network at work: volumes in, labels on their own grid out.

The whole way has three parts, timed apart: `prepare` (resample, normalise, crop), `forward` (to the
device, the network, softmax, back) and `restore` (resample the probabilities, argmax). Every shape
is compiled ahead of its first use and once. An artefact is the network without the other two.
"""

import copy
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnas.data.annotation import LabeledVolume
from jaxnas.data.named import config_labels
from jaxnas.data.prepare import Preparation
from jaxnas.data.section import LabeledDataConfig
from jaxnas.engine.networks import Artefact, Trained
from jaxnas.engine.run import Run
from jaxnas.fed.clients import client_config
from jaxnas.ops.norm import fold_norms

WARM_CALLS = 3
_MS = 1e-6  # milliseconds in a nanosecond


def data_of(run: Run, client: str | None) -> LabeledDataConfig:
    """The data section of a run, or of one of its clients: how images are prepared."""
    return (run.config if client is None else client_config(run.config, client)).data


class FrameLatency(NamedTuple):
    """The milliseconds of one frame, part by part."""

    prepare: float
    forward: float
    restore: float

    @property
    def total(self) -> float:
        """The time from the frame in memory to its labels in memory, ms."""
        return sum(self)


class SegmentedFrame(NamedTuple):
    """Labels uint8 (Z, H, W) on the grid of the frame, and what they took."""

    labels: np.ndarray
    latency: FrameLatency


class Predictor:
    """A network with its weights, ready for stacks of any number of slices.

    `net(x, train=False)` maps (Z, h, w, 1) to logits (Z, h, w, K); `variables` holds `params` and
    `batch_stats`, which are folded, and stays on the device; `preparation` is that of the training.
    """

    def __init__(self, net: nn.Module, variables: Any, preparation: Preparation) -> None:
        self.variables = jax.device_put(fold_norms(variables))
        self.preparation = preparation

        def probabilities(variables, stack):
            logits: Any = net.apply(variables, stack[..., None], train=False)
            return jax.nn.softmax(logits.astype(jnp.float32))

        self._jitted = jax.jit(probabilities)
        self._compiled: dict[tuple[int, ...], jax.stages.Compiled] = {}

    def under(self, variables: Any, preparation: Preparation) -> "Predictor":
        """The same programs with other weights, for volumes that are prepared in another way."""
        other = copy.copy(self)
        other.variables, other.preparation = jax.device_put(fold_norms(variables)), preparation
        return other

    def compiled(self, shape: tuple[int, int, int]) -> jax.stages.Compiled:
        """The program (variables, stack float32 of `shape` (Z, h, w)) -> probabilities."""
        if shape not in self._compiled:
            stack = jax.ShapeDtypeStruct(shape, jnp.float32)
            self._compiled[shape] = self._jitted.lower(self.variables, stack).compile()
        return self._compiled[shape]

    def predict(self, stack: np.ndarray) -> np.ndarray:
        """Probabilities float32 (Z, h, w, K) of a prepared stack float32 (Z, h, w)."""
        return np.asarray(self.compiled(stack.shape)(self.variables, stack))

    def segment(self, volume: LabeledVolume) -> np.ndarray:
        """Labels uint8 (Z, H, W) of a volume, on its own grid."""
        return self.segment_timed(volume).labels

    def segment_by(self, volume: LabeledVolume, *, slices: int) -> np.ndarray:
        """`segment`, so many slices at a time: volumes of any number of them share one program."""
        stack, _ = self.preparation.forward(volume)
        missing = -len(stack) % slices
        filled = np.concatenate([stack, np.zeros((missing, *stack.shape[1:]), stack.dtype)])
        parts = np.split(filled, len(filled) // slices)
        probabilities = np.concatenate([self.predict(part) for part in parts])
        return self.preparation.inverse(probabilities[: len(stack)], volume)

    def segment_timed(self, volume: LabeledVolume) -> SegmentedFrame:
        """`segment`, with the time that every part of the way took; compiling counts as forward."""
        moments = [time.perf_counter_ns()]
        stack, _ = self.preparation.forward(volume)
        moments.append(time.perf_counter_ns())
        probabilities = self.predict(stack)
        moments.append(time.perf_counter_ns())
        labels = self.preparation.inverse(probabilities, volume)
        moments.append(time.perf_counter_ns())
        return SegmentedFrame(labels, FrameLatency(*(_MS * d for d in np.diff(moments).tolist())))

    def stream(self, frames: Iterable[LabeledVolume]) -> Iterator[SegmentedFrame]:
        """Segments frame after frame as they come, holding one at a time.

        A frame of a shape not seen before in this stream first warms everything up, untimed: it is
        compiled and segmented a few times, so that no latency hides a compilation.
        """
        warm: set[tuple[int, ...]] = set()
        for frame in frames:
            # Labels, if a frame has any, would be prepared too and cost time.
            frame = frame._replace(labels=None)
            if frame.image.shape not in warm:
                for _ in range(WARM_CALLS):
                    self.segment(frame)
                warm.add(frame.image.shape)
            yield self.segment_timed(frame)
            del frame  # before the next one is read


def segmentation_artefact(run: Run, trained: Trained) -> Artefact:
    """image float32 (B, h, w), prepared → logits float32 (B, h, w, classes)."""
    data, labels = data_of(run, trained.choice.client), config_labels(run.config)
    height, width = data.size
    low, high = data.clip
    pixels = "as in the file" if data.spacing is None else f"{data.spacing:g} mm"
    variables = fold_norms(trained.variables)

    def apply(image) -> Any:
        return trained.net.apply(variables, image[..., None], train=False)

    facts = {
        **trained.choice.to_json(),
        "inputs": {"image": f"float32 (b, {height}, {width}), prepared slices of one volume"},
        "preparation": [
            f"clip the volume at its percentiles {low:g} and {high:g}",
            "subtract its mean, divide by its standard deviation",
            f"pixels in plane: {pixels}",
            f"crop or pad with zeros to {height} x {width} about the centre",
        ],
        "output": f"float32 (b, {height}, {width}, {len(labels)}), logits of {', '.join(labels)}",
    }
    return Artefact(apply, (("image", jnp.float32, (height, width)),), facts)
