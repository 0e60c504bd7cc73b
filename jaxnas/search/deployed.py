"""Networks of the space as they would be deployed: how fast the model says they are, and how fast
they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.engine.segmentation_training import init_segmentation
from jaxnas.engine.timing import Timing, measure_latency
from jaxnas.search.calibration import Calibration, fit_calibration
from jaxnas.search.latency import OperationTimes, derived_cells
from jaxnas.search.path_latency import PATH_LATENCY
from jaxnas.spaces.derive import kept_of
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.paths import Path
from jaxnas.spaces.rtdnas import TwoLevelSpace
from jaxnas.spaces.rtdnas_network import RtdnasNet

WARM_SECONDS = 0.3


@dataclass(frozen=True)
class Deployment:
    """How fast derived networks of a config are on this device, by the model and measured.

    Latencies are those of one frame of `search.latency.stack` slices through the model, ms.
    """

    config: SegmentationConfig
    space: TwoLevelSpace
    times: OperationTimes

    def network(self, genotype: Genotype) -> RtdnasNet:
        """The network of a genotype at the config's channels."""
        return derived_network(self.config, genotype)

    def predict(self, genotype: Genotype) -> float:
        """The latency of the latency model, before any calibration."""
        return self.predictor(genotype)(genotype.paths)

    def predictor(self, genotype: Genotype) -> Callable[[Sequence[Path]], float]:
        """Returns latency(paths) of the cells of `genotype`."""
        asked, operations = self.config.latency.path, self.space.operations
        kept = {
            name: jnp.asarray(kept_of(nodes, operations, inputs=self.space.cell_space.inputs))
            for name, nodes in genotype.cells
        }
        cell_ms = np.asarray(derived_cells(kept, self.times, cell=asked), np.float64)
        fixed = float(self.times.fixed_ms)
        return lambda paths: PATH_LATENCY[asked](paths, cell_ms, fixed_ms=fixed)

    def measure(self, genotype: Genotype) -> Timing:
        """The measured latency of the network, whose weights do not matter and are random."""
        net, evaluate, rng = self.network(genotype), self.config.evaluate, np.random.default_rng(0)
        abstract = jax.eval_shape(lambda key: init_segmentation(key, net), jax.random.key(0))

        def draw(shape):
            # Positive, as variances are.
            return jax.device_put(rng.uniform(0.5, 1.0, shape).astype(np.float32))

        variables = jax.tree.map(lambda leaf: draw(leaf.shape), abstract)
        frames = [draw((self.config.latency.stack, *self.config.data.size, 1)) for _ in range(3)]
        return measure_latency(
            jax.jit(lambda variables, x: net.apply(variables, x, train=False)),
            [(variables, frame) for frame in frames],
            warmup_s=WARM_SECONDS,
            min_calls=evaluate.calls,
            min_s=evaluate.seconds,
        )


def derived_network(config: SegmentationConfig, genotype: Genotype) -> RtdnasNet:
    """The network of a genotype at the channels of a config."""
    network = config.network
    return RtdnasNet(
        genotype,
        network.channels,
        stem_stride=network.stem_stride,
        dtype=jnp.dtype(network.dtype),
    )


def calibrate(
    deployment: Deployment, *, networks: int, seed: int, say: Callable[[str], None]
) -> tuple[Calibration, dict[str, Any]]:
    """Measures random networks of one to eight paths and fits the model to them.

    Returns the calibration, and what calibration.json holds: it, and every pair in ms.
    """
    rng = np.random.default_rng(seed)
    predicted, measured = [], []
    for number in range(networks):
        paths = int(rng.integers(1, min(8, deployment.space.grid.paths) + 1))
        genotype = deployment.space.random_genotype(rng, paths=paths)
        predicted.append(deployment.predict(genotype))
        measured.append(deployment.measure(genotype).p50)
        say(
            f"calibration {number + 1}/{networks}: {paths} paths, predicted {predicted[-1]:.2f} "
            f"ms, measured {measured[-1]:.2f} ms"
        )
    fit = fit_calibration(predicted, measured)
    return fit, fit.to_json() | {"predicted_ms": predicted, "measured_ms": measured}
