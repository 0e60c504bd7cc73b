"""Networks as they would be deployed, against the clock: one of them, and the latency model."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from jaxnas.engine.timing import Timing, measure_latency
from jaxnas.search.calibration import Calibration, fit_calibration
from jaxnas.spaces.genotype import Genotype

_WARM_SECONDS = 0.3


class Deployable(Protocol):
    """The derived networks of a config on this device."""

    def random_genotype(self, rng: np.random.Generator) -> Genotype:
        """One that the space may derive."""

    def predict(self, genotype: Genotype) -> float:
        """Its latency by the latency model before any calibration, ms."""

    def measure(self, genotype: Genotype) -> Timing:
        """Its measured latency."""


def draw_like(rng: np.random.Generator, abstract: Any) -> Any:
    """Random arrays on the device in the shapes of `abstract`, uniform in [0.5, 1) in every part:
    positive, as variances are."""

    def draw(leaf):
        x = rng.uniform(0.5, 1.0, leaf.shape)
        complex_part = 1j * rng.uniform(0.5, 1.0, leaf.shape) if leaf.dtype.kind == "c" else 0.0
        return jax.device_put((x + complex_part).astype(leaf.dtype))

    return jax.tree.map(draw, abstract)


def measure_network(
    apply: Callable, variables: Any, inputs: Sequence[Any], *, calls: int, seconds: float
) -> Timing:
    """The latency of `apply(variables, x)` over the `inputs` in turn, all on the device."""
    return measure_latency(
        jax.jit(apply),
        [(variables, x) for x in inputs],
        warmup_s=_WARM_SECONDS,
        min_calls=calls,
        min_s=seconds,
    )


def calibrate(
    deployment: Deployable, *, networks: int, seed: int, log: Callable[[str], None]
) -> tuple[Calibration, dict[str, Any]]:
    """Measures random networks and fits the model to them.

    Returns the calibration, and what calibration.json holds: it, and every pair in ms.
    """
    rng = np.random.default_rng(seed)
    predicted, measured = [], []
    for number in range(networks):
        genotype = deployment.random_genotype(rng)
        predicted.append(deployment.predict(genotype))
        measured.append(deployment.measure(genotype).p50)
        log(
            f"calibration {number + 1}/{networks}: predicted {predicted[-1]:.2f} ms, measured "
            f"{measured[-1]:.2f} ms"
        )
    fit = fit_calibration(predicted, measured)
    return fit, fit.to_json() | {"predicted_ms": predicted, "measured_ms": measured}
