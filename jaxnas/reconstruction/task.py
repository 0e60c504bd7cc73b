"""The task of reconstruction, an image out of undersampled k-space, and its search problem."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.data.batches import stack
from jaxnas.engine.step import TrainLoss
from jaxnas.engine.task import Task
from jaxnas.metrics.image import psnr
from jaxnas.mri.complexes import magnitude
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.ops.costs import Rates
from jaxnas.reconstruction.acquire import fixed_example, make_example
from jaxnas.reconstruction.dataset import KspaceDataset
from jaxnas.reconstruction.loss import Distance, l1, reconstruction_loss
from jaxnas.reconstruction.networks import init_variables
from jaxnas.reconstruction.section import LOSSES, ReconstructionConfig
from jaxnas.search.methods import SearchProblem
from jaxnas.search.moves import SearchLoss
from jaxnas.search.objective import ACCURACY, SearchObjective
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.supernet import Supernet, supernet


@dataclass(frozen=True)
class Reconstruction(Task):
    """The `Task` with a loss of LOSSES in scaled units, on strips of `rows` rows unless None.

    Masks are drawn as `acquisition` says unless the batches bring their own; then only its scale is
    used, which is common to all clients.
    """

    acquisition: AcquisitionConfig
    distance: str = "l1"
    rows: int | None = None

    score: ClassVar[str] = "valid_psnr"

    def init(self, key: jax.Array, net: nn.Module) -> Any:
        """The variables of a network before training."""
        return init_variables(key, net)

    def loss(self, net: nn.Module) -> TrainLoss:
        """Returns loss(params, batch, key) -> (scalar, {})."""
        distance = LOSSES[self.distance]
        return reconstruction_loss(net, self.acquisition, distance=distance, rows=self.rows)

    def validate(self, net: nn.Module) -> Callable[[Any, KspaceDataset], float]:
        """Returns the mean PSNR over the validation slices at every acceleration of the dataset,
        but for empty slices, which have none.

        Masks are those of the evaluation, the data range is the maximum of the target slice.
        """

        @jax.jit
        def score(params, measurement, target):
            found: Any = net.apply({"params": params}, measurement)
            image, truth = magnitude(found), magnitude(target)
            return psnr(truth, image, data_range=truth.max(axis=(-2, -1)))[0]

        def validate(variables: Any, dataset: KspaceDataset) -> float:
            scores = []
            for i in dataset.slices("valid"):
                item = dataset.source.read(i)
                if not item.kspace.any():
                    continue
                batch, place = stack([item], indices=[i]), [(item.volume, item.index)]
                for index in range(len(dataset.acquisition.accelerations)):
                    example = fixed_example(batch, place, dataset.acquisition, index)
                    scores.append(score(variables["params"], *example))
            return float(jnp.mean(jnp.stack(scores)))

        return validate


def reconstruction_task(config: ReconstructionConfig) -> Reconstruction:
    """The task of a config; across clients with the scale that all of them have."""
    return Reconstruction(config.acquisitions[0], config.train.loss, config.train.rows)


def unrolled_problem(
    config: ReconstructionConfig,
    *,
    objective: SearchObjective = ACCURACY,
    rates: Rates | None = None,
) -> SearchProblem:
    """The problem of a config; `rates` are those of this device for the plan `auto`.

    Across clients masks come with the batches, and all have the scale of the first.
    """
    asked, net = config.search, supernet(proxy(config), rates=rates)
    loss = supernet_loss(net, config.acquisitions[0], distance=LOSSES[asked.loss], rows=asked.rows)
    return SearchProblem(net.space, lambda key: init_variables(key, net), loss, objective)


def supernet_loss(
    net: Supernet,
    acquisition: AcquisitionConfig,
    *,
    distance: Distance = l1,
    rows: int | None = None,
) -> SearchLoss:
    """Returns loss(params, alphas, batch, key), the `distance` (Eq. 16: L1); a float32 scalar."""

    def loss(params, alphas, batch, key):
        measurement, target = make_example(key, batch, acquisition, rows=rows)
        image: Any = net.apply({"params": params, "alphas": alphas}, measurement)
        return distance(image, target)

    return loss


def proxy(config: ReconstructionConfig) -> NetworkConfig:
    """The network that is searched: the config's own, or a smaller one with the same cell."""
    smaller = {
        name: value
        for name in ("channels", "cells", "cascades")
        if (value := getattr(config.search, name)) is not None
    }
    return config.network.model_copy(update=smaller)
