"""Networks as they would be deployed: predicted, expected, measured, and aimed at in a search."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from jaxnas.engine.timing import Timing, measure_latency
from jaxnas.search.calibration import Calibration, check_guides, fit_calibration
from jaxnas.search.objective import SearchObjective, make_objective
from jaxnas.search.section import ACCURACY_ALONE, LatencyBudget
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.space import Space

_WARM_SECONDS = 0.3


class Deployment(Protocol):
    """The derived networks of a config as they would run on this device.

    Latencies are in ms, of one frame; those of the latency model are before any calibration.
    """

    @property
    def space(self) -> Space:
        """The space that they are derived in."""
        ...

    def random_genotype(self, rng: np.random.Generator) -> Genotype:
        """One that the space may derive."""
        ...

    def predict(self, genotype: Genotype) -> float:
        """Its latency by the latency model."""
        ...

    def expect(self, weights: Mapping[str, Any]) -> jax.Array:
        """The expected latency, by the model, of what is derived of softmaxed weights;
        differentiable."""
        ...

    def fastest(self) -> float:
        """The least that `expect` can be."""
        ...

    def measure(self, genotype: Genotype) -> Timing:
        """Its measured latency."""
        ...


def latency_objective(
    name: str,
    budget: LatencyBudget,
    deployment: Deployment,
    calibration: Calibration,
    *,
    where: str = "calibration",
) -> SearchObjective:
    """The objective `name` of a config on the calibrated expected latency, and that latency.

    UserError, naming `where`, for a calibration that cannot guide it; see `check_guides`.
    """
    if name != ACCURACY_ALONE:
        check_guides(calibration, deployment.fastest(), where=where)

    def latency(weights: Mapping[str, Any]) -> jax.Array:
        return calibration.predict(deployment.expect(weights))

    relax = deployment.space.relax
    return SearchObjective(make_objective(name, budget, lambda a: latency(relax(a))), latency)


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
    deployment: Deployment, *, networks: int, seed: int, log: Callable[[str], None]
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
