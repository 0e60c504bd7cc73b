"""Training every network of a config: same batches, same masks, same number of steps for all."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxnas.core import rng
from jaxnas.core.config import AnyConfig
from jaxnas.core.errors import UserError
from jaxnas.core.schema import AcquisitionConfig, Config
from jaxnas.data.batches import Batches, stack
from jaxnas.engine.acquire import fixed_example
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.genotypes import settle_genotype
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.losses import DISTANCES, reconstruction_loss
from jaxnas.engine.optim import check_schedule, make_optimizer
from jaxnas.engine.run import Run
from jaxnas.engine.sources import Dataset
from jaxnas.engine.state import TrainState, init_train_state, make_train_step
from jaxnas.engine.step import CompiledStep
from jaxnas.metrics.image import psnr
from jaxnas.models.networks import DERIVED, build_network, check_names, init_variables
from jaxnas.mri.complexes import magnitude
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.supernet import fit_genotype


def model_names(config: Config) -> tuple[str, ...]:
    """The networks that a config trains, at one site or across clients, each once."""
    if config.federated is None:
        return config.train.models
    return tuple(dict.fromkeys(method.model for method in config.federated.methods))


def models_key(config: Config) -> str:
    """The key that names them."""
    return "train.models" if config.federated is None else "federated.methods"


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


def training_steps(config: AnyConfig, per_epoch: int) -> int:
    """The budget of a training at one site in steps, for `per_epoch` batches in an epoch.

    UserError where the schedule does not fit into it.
    """
    steps = config.train.in_steps(per_epoch)
    check_schedule(config.train.optimizer, steps, key="train.optimizer")
    return steps


def check_training(config: Config, dataset: Dataset) -> None:
    """UserError where the schedule does not fit into a training on `dataset`."""
    training_steps(config, training_batches(config, dataset).per_epoch)


def training_batches(config: Config, dataset: Dataset) -> Batches:
    """The batches of a training at one site."""
    slices, size = dataset.slices("train"), config.train.batch
    return Batches(dataset.source, slices, size=size, seed=config.seed)


def train_all(run: Run, dataset: Dataset, writer: MetricWriter) -> None:
    """Trains what the config names, one after the other; finished networks cost nothing.

    The run keeps the genotype it trains.
    """
    if DERIVED in run.config.train.models:
        run.dir.genotype.write(find_genotype(run))
    for name, net in trainable(run).items():
        clock = Clock()
        train_network(run, dataset, writer, name, net, clock)
        run.dir.record_timing(f"train {name}", clock.summary())


def train_network(
    run: Run, dataset: Dataset, writer: MetricWriter, name: str, net: nn.Module, clock: Clock
) -> TrainState:
    """Trains one network and returns its last state.

    The key of initialisation, data order and masks is the run's: it does not depend on `name`.
    """
    config = run.config.train
    batches = training_batches(run.config, dataset)
    steps = training_steps(run.config, batches.per_epoch)
    tx = make_optimizer(config.optimizer, steps)
    with CheckpointStore(run.dir.checkpoints(f"train-{name}"), keep=2) as store:
        distance = DISTANCES[config.loss]
        loss = reconstruction_loss(net, run.config.acquisition, distance=distance, rows=config.rows)
        return run_loop(
            CompiledStep(make_train_step(loss, tx), clock),
            initial_state(run, net, tx),
            batches,
            steps=steps,
            store=store,
            writer=writer,
            stage="train",
            model=name,
            every=Cadence(
                log=run.config.log_every,
                checkpoint=run.config.checkpoint_every,
                validate=config.validate_every,
            ),
            validate=_validation(run, dataset, net) if config.validate_every else None,
            clock=clock,
            quiet=run.quiet,
        )


def make_validation(
    net: nn.Module,
) -> Callable[[Any, Dataset, AcquisitionConfig], float]:
    """Returns validate(params, dataset, acquisition): mean PSNR over the validation slices at
    every acceleration, but for empty slices, which have none.

    Masks are those of the evaluation, the data range is the maximum of the target slice.
    """

    @jax.jit
    def score(params, measurement, target):
        image, truth = magnitude(net.apply({"params": params}, measurement)), magnitude(target)
        return psnr(truth, image, data_range=truth.max(axis=(-2, -1)))[0]

    def validate(params, dataset, acquisition):
        scores = []
        for i in dataset.slices("valid"):
            item = dataset.source.read(i)
            if not item.kspace.any():
                continue
            batch = stack([item], indices=[i])
            for index in range(len(acquisition.accelerations)):
                example = fixed_example(batch, [(item.volume, item.index)], acquisition, index)
                scores.append(score(params, *example))
        return float(jnp.mean(jnp.stack(scores)))

    return validate


def _validation(
    run: Run, dataset: Dataset, net: nn.Module
) -> Callable[[TrainState], dict[str, float]]:
    """The loop's validation, `valid_psnr`."""
    score = make_validation(net)
    return lambda state: {"valid_psnr": score(state.params, dataset, run.config.acquisition)}


def initial_state(run: Run, net: nn.Module, tx: optax.GradientTransformation) -> TrainState:
    """The state of a network before its first step."""
    key = rng.root_key(run.config.seed)
    params = init_variables(rng.stream(key, "init", 0), net)["params"]
    return init_train_state(rng.stream(key, "train", 0), params, tx)


def trained_params(run: Run, net: nn.Module, name: str) -> Any:
    """The parameters of a network whose training is finished; UserError if it is not."""
    directory = run.dir.checkpoints(f"train-{name}")
    if not directory.is_dir():
        raise UserError(f"{run.path}: network {name!r} is not trained yet; run jaxnas train first")
    # Steps only shape the schedule, which is no part of the state.
    tx = make_optimizer(run.config.train.optimizer, sys.maxsize)
    target = jax.eval_shape(lambda: initial_state(run, net, tx))
    with CheckpointStore(directory) as store:
        found = store.restore(target)
    if found is None or not found[1]["finished"]:
        raise UserError(
            f"{run.path}: training of {name!r} is not finished; continue with jaxnas train"
        )
    return found[0].params
