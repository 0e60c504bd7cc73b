"""Denoising: the image of fully sampled k-space out of the same image with noise added."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field, model_validator

from jaxnas.core.errors import UserError
from jaxnas.core.rng import draw_variables
from jaxnas.core.sections import Experiment
from jaxnas.data.section import DataConfig
from jaxnas.engine.networks import DERIVED
from jaxnas.engine.section import TrainingConfig
from jaxnas.engine.slices import SliceData
from jaxnas.engine.task import Evaluator, Task
from jaxnas.fed.section import RoundsConfig, check_plain_sgd
from jaxnas.metrics.cost import count_params
from jaxnas.mri.complexes import ifft2c, to_channels
from jaxnas.search.methods import SearchProblem
from jaxnas.search.section import BilevelConfig, check_lengths
from jaxnas.search.task_kind import TaskKind
from jaxnas.spaces.denoiser import Denoiser
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.supernet import Supernet, fit_genotype, space_of

SHAPE = (1, 16, 16, 2)  # of an image when parameters are drawn


class DenoisingConfig(Experiment):
    """The noise is complex Gaussian, its deviation that of `noise` times the largest magnitude."""

    kind: ClassVar[str] = "jaxnas_denoising.task:KIND"
    task: Literal["denoising"]
    noise: Annotated[float, Field(gt=0.0)] = 0.1
    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    search: BilevelConfig = BilevelConfig(steps=20)
    train: TrainingConfig = TrainingConfig(steps=20)
    federated: RoundsConfig | None = None

    _long_enough = model_validator(mode="after")(check_lengths)
    _sgd_where_needed = model_validator(mode="after")(check_plain_sgd)


def example(key, kspace, noise):
    """The noisy and the clean image (B, H, W, 2), the largest magnitude of the clean one 1."""
    image = ifft2c(kspace)
    clean = to_channels(image / jnp.abs(image).max(axis=(-2, -1), keepdims=True))
    return clean + noise * jax.random.normal(key, clean.shape), clean


def mean_square(net, variables, key, kspace, noise):
    noisy, clean = example(key, kspace, noise)
    return jnp.mean(jnp.square(net.apply(variables, noisy) - clean))


def drawn(key, net):
    return draw_variables(key, net.init, jax.ShapeDtypeStruct(SHAPE, jnp.float32))


def scores(predict, dataset, group, noise):
    """The PSNR of every slice of a group; the noise of slice i is always the same."""
    found = []
    for i in dataset.slices(group):
        noisy, clean = example(jax.random.key(i), dataset.source.read(i).kspace[None], noise)
        error = jnp.mean(jnp.square(predict(noisy) - clean))
        found.append(float(-10 * jnp.log10(error)))
    return found


@dataclass(frozen=True)
class Denoising(Task):
    noise: float
    score: ClassVar[str] = "valid_psnr"

    def init(self, key, net):
        return drawn(key, net)

    def loss(self, net):
        def loss(params, batch, key):
            return mean_square(net, {"params": params}, key, batch["kspace"], self.noise), {}

        return loss

    def validate(self, net):
        apply = jax.jit(net.apply)
        return lambda variables, dataset: float(
            np.mean(scores(lambda x: apply(variables, x), dataset, "valid", self.noise))
        )


@dataclass(frozen=True)
class DenoisingEvaluator(Evaluator):
    noise: float

    @property
    def untrained(self):
        return {"noisy": lambda image: image}

    def predictor(self, net, variables, dataset):
        return jax.jit(lambda image: net.apply(variables, image))

    def evaluate(self, predictors, dataset, *, fold):
        return {n: scores(p, dataset, "test", self.noise) for n, p in predictors.items()}

    def rows(self, name, found):
        values = [value for scores in found for value in scores[name]]
        return [{"psnr": {"mean": float(np.mean(values)), "std": float(np.std(values))}}]

    def facts(self, model, net, predictor, dataset):
        return {"params": count_params(drawn(jax.random.key(0), net)["params"])}


class DenoisingKind(TaskKind):
    data = SliceData()

    def network(self, config, name, genotype):
        if name != DERIVED:
            raise UserError(f"train.models: unknown network {name!r}; expected {DERIVED}")
        return self._denoiser(config.network, fit_genotype(config.network, genotype))

    def task(self, config):
        return Denoising(config.noise)

    def problem(self, config):
        net = Supernet(space_of(config.network), self._denoiser(config.network, None))

        def loss(params, alphas, batch, key):
            variables = {"params": params, "alphas": alphas}
            return mean_square(net, variables, key, batch["kspace"], config.noise)

        return SearchProblem(net.space, lambda key: drawn(key, net), loss)

    def evaluator(self, run):
        return DenoisingEvaluator(run.config.noise)

    def _denoiser(self, asked, genotype):
        return Denoiser(space_of(asked), asked.channels, asked.cells, genotype=genotype)


KIND = DenoisingKind()
