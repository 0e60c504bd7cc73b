"""The task of reconstruction: an image out of undersampled k-space."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.schema import AcquisitionConfig, Config
from jaxnas.data.batches import EpochStream, stack
from jaxnas.engine.acquire import fixed_example
from jaxnas.engine.genotypes import settle_genotype
from jaxnas.engine.kspace_dataset import KspaceDataset
from jaxnas.engine.losses import DISTANCES, reconstruction_loss
from jaxnas.engine.networks import model_names, models_key
from jaxnas.engine.run import Run
from jaxnas.engine.state import TrainLoss
from jaxnas.metrics.image import psnr
from jaxnas.models.networks import DERIVED, build_network, check_names, init_variables
from jaxnas.mri.complexes import magnitude
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.supernet import fit_genotype


@dataclass(frozen=True)
class Reconstruction:
    """The `Task` with a loss of DISTANCES in scaled units, on strips of `rows` rows unless None.

    Masks are drawn as `acquisition` says unless the batches bring their own; then only its scale is
    used, which is common to all clients.
    """

    acquisition: AcquisitionConfig
    distance: str = "l1"
    rows: int | None = None

    score: ClassVar[str] = "valid_psnr"
    collections: ClassVar[tuple[str, ...]] = ()

    def init(self, key: jax.Array, net: nn.Module) -> Any:
        """The variables of a network before training."""
        return init_variables(key, net)

    def loss(self, net: nn.Module) -> TrainLoss:
        """Returns loss(params, batch, key) -> (scalar, {})."""
        distance = DISTANCES[self.distance]
        return reconstruction_loss(net, self.acquisition, distance=distance, rows=self.rows)

    def finish(self, net: nn.Module) -> Callable[[Any, EpochStream], dict[str, Any]]:
        """Nothing but the parameters is applied."""
        return lambda params, batches: {"params": params}

    def validate(self, net: nn.Module) -> Callable[[Any, KspaceDataset], float]:
        """Returns the mean PSNR over the validation slices at every acceleration of the dataset,
        but for empty slices, which have none.

        Masks are those of the evaluation, the data range is the maximum of the target slice.
        """

        @jax.jit
        def score(params, measurement, target):
            image, truth = magnitude(net.apply({"params": params}, measurement)), magnitude(target)
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


def reconstruction_task(config: Config) -> Reconstruction:
    """The task of a config; across clients with the scale that all of them have."""
    return Reconstruction(config.acquisitions[0], config.train.loss, config.train.rows)


def trainable(run: Run, *, searched: bool = False, fresh: bool = False) -> dict[str, nn.Module]:
    """The networks of the config by name; builds them, computes and writes nothing.

    With `searched` a search of the same command is still to find the genotype, and `derived` is
    left out; with `fresh` what the run holds is about to go. UserError for an unknown network, or
    a genotype missing or misfit.
    """
    names = model_names(run.config)
    check_names(names, where=models_key(run.config))
    genotype = None
    if searched:
        names = tuple(name for name in names if name != DERIVED)
    elif DERIVED in names:
        genotype = find_genotype(run, fresh=fresh)
    return {name: build_network(name, run.config.network, genotype=genotype) for name in names}


def find_genotype(run: Run, *, fresh: bool = False) -> Genotype:
    """The genotype a run trains: its own once there is one (unless `fresh`), else the config's.

    UserError if there is neither, if it does not fit, or if the two differ.
    """
    return settle_genotype(
        run.dir.genotype,
        run.config.genotype,
        check=partial(fit_genotype, run.config.network),
        fresh=fresh,
    )


def keep_genotype(run: Run) -> None:
    """Copies the genotype that is trained, if any is, into the run."""
    if DERIVED in model_names(run.config):
        run.dir.genotype.write(find_genotype(run))
