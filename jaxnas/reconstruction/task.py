"""The task of reconstruction: an image out of undersampled k-space."""

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
from jaxnas.reconstruction.acquire import fixed_example
from jaxnas.reconstruction.dataset import KspaceDataset
from jaxnas.reconstruction.loss import reconstruction_loss
from jaxnas.reconstruction.networks import init_variables
from jaxnas.reconstruction.section import LOSSES, ReconstructionConfig


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
