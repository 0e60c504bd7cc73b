"""Training the segmentation networks of a config: same batches, augmentation and steps for all."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core import rng
from jaxnas.core.draws import draw_variables
from jaxnas.core.errors import UserError
from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.data.batches import BatchStream
from jaxnas.data.labeled_batches import LabeledBatches
from jaxnas.engine.augment import Augmentation
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.labeled import LabeledDataset
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.optim import make_optimizer
from jaxnas.engine.precise_norm import Statistics, deployed_variables, make_statistics
from jaxnas.engine.run import Run
from jaxnas.engine.segmentation_losses import SEGMENTATION_LOSSES, segmentation_loss
from jaxnas.engine.segmentation_validation import DiceValidation
from jaxnas.engine.state import TrainState, init_train_state, make_train_step
from jaxnas.engine.step import CompiledStep
from jaxnas.engine.training import training_steps
from jaxnas.ops.norm import STATISTICS

Validate = Callable[[TrainState], dict[str, float]]
_INIT_SIZE = 64  # two pixels at the coarsest scale a config may have


@dataclass(frozen=True)
class Training:
    """One network on the training patients of one fold; `fold` None: of the config's split."""

    model: str
    fold: int | None = None

    @property
    def name(self) -> str:
        """Its name in a run: `<model>` or `<model>/fold<n>`."""
        return self.model if self.fold is None else f"{self.model}/fold{self.fold}"


def check_training(config: SegmentationConfig, dataset: LabeledDataset) -> None:
    """UserError where the schedule does not fit into a training on `dataset`; reads no image."""
    training_steps(config, -(-dataset.count("train") // config.train.batch))


def train_all(
    run: Run,
    nets: Mapping[str, nn.Module],
    datasets: Mapping[int | None, LabeledDataset],
    writer: MetricWriter,
) -> None:
    """Trains every network on every fold, one after the other; finished ones cost nothing.

    A network is compiled once for all its folds.
    """
    for model, net in nets.items():
        programs: dict[int, Programs] = {}  # folds of one length share theirs
        for fold, dataset in datasets.items():
            batches = training_batches(run.config, dataset)
            steps = training_steps(run.config, batches.per_epoch)
            if steps not in programs:
                programs[steps] = make_programs(run.config, net, steps)
            train_network(run, Training(model, fold), net, programs[steps], dataset, writer)


class Programs(NamedTuple):
    """The programs that training for `steps` compiles of a network: its step, the statistics of a
    batch, and the network at work, for validation."""

    steps: int
    advance: CompiledStep
    statistics: Statistics
    score: DiceValidation

    def deploy(self, params: Any, batches: BatchStream, *, count: int) -> dict[str, Any]:
        """The variables that a network of these weights is deployed with."""
        return deployed_variables(self.statistics, params, batches, count=count)

    def validation(self, config: SegmentationConfig, dataset: LabeledDataset) -> Validate:
        """The loop's validation, `valid_dice`, under the statistics that would be deployed."""
        batches, count = training_batches(config, dataset), config.train.statistics

        def validate(state: TrainState) -> dict[str, float]:
            variables = self.deploy(state.params, batches, count=count)
            return {"valid_dice": self.score(variables, dataset)}

        return validate


def make_programs(config: SegmentationConfig, net: nn.Module, steps: int) -> Programs:
    """The programs of `net`; nothing is compiled before it is called."""
    tx = make_optimizer(config.train.optimizer, steps)
    loss = segmentation_loss(net, SEGMENTATION_LOSSES[config.train.loss], augmentation(config))
    return Programs(
        steps,
        CompiledStep(make_train_step(loss, tx), Clock()),
        make_statistics(net),
        DiceValidation(net, slices=config.latency.stack),
    )


def training_batches(config: SegmentationConfig, dataset: LabeledDataset) -> LabeledBatches:
    """The batches of a training at one site."""
    return dataset.batches(size=config.train.batch, seed=config.seed)


def train_network(
    run: Run,
    training: Training,
    net: nn.Module,
    programs: Programs,
    dataset: LabeledDataset,
    writer: MetricWriter,
) -> None:
    """Trains one network, then writes the statistics that it normalises by.

    The key of initialisation, data order and augmentation is the run's: it does not depend on the
    network.
    """
    config, clock = run.config.train, Clock()
    batches = training_batches(run.config, dataset)
    tx = make_optimizer(config.optimizer, programs.steps)
    with CheckpointStore(run.dir.checkpoints(f"train-{training.name}"), keep=2) as store:
        state = run_loop(
            programs.advance.under(clock),
            _initial_state(run, net, tx),
            batches,
            steps=programs.steps,
            store=store,
            writer=writer,
            stage="train",
            model=training.name,
            every=Cadence(
                log=run.config.log_every,
                checkpoint=run.config.checkpoint_every,
                validate=config.validate_every,
            ),
            validate=programs.validation(run.config, dataset) if config.validate_every else None,
            clock=clock,
            quiet=run.quiet,
        )
    if not run.dir.statistics(training.name).exists():
        deployed = programs.deploy(state.params, batches, count=config.statistics)
        run.dir.statistics(training.name).write(deployed[STATISTICS])
    run.dir.record_timing(f"train {training.name}", clock.summary())


def trained_variables(run: Run, training: Training, net: nn.Module) -> dict[str, Any]:
    """`params` and `batch_stats` of a network whose training is finished; UserError if not."""
    name = training.name
    directory, statistics = run.dir.checkpoints(f"train-{name}"), run.dir.statistics(name)
    if not directory.is_dir():
        raise UserError(f"{run.path}: {training.name} is not trained yet; run jaxnas train first")
    # Steps only shape the schedule, which is no part of the state.
    tx = make_optimizer(run.config.train.optimizer, sys.maxsize)
    target = jax.eval_shape(lambda: _initial_state(run, net, tx))
    with CheckpointStore(directory) as store:
        found = store.restore(target)
    if found is None or not found[1]["finished"] or not statistics.exists():
        raise UserError(
            f"{run.path}: training of {training.name} is not finished; go on with jaxnas train"
        )
    return {"params": found[0].params, STATISTICS: statistics.read()}


def augmentation(config: SegmentationConfig) -> Augmentation:
    """The augmentation of training slices."""
    return Augmentation(**config.train.augment.model_dump())


def init_segmentation(key: jax.Array, net: nn.Module) -> dict[str, Any]:
    """The variables of `net` before training; they depend on the key alone, not on the image."""
    image = jax.ShapeDtypeStruct((1, _INIT_SIZE, _INIT_SIZE, 1), jnp.float32)
    return draw_variables(key, partial(net.init, train=True), image)


def _initial_state(run: Run, net: nn.Module, tx: Any) -> TrainState:
    key = rng.root_key(run.config.seed)
    params = init_segmentation(rng.stream(key, "init", 0), net)["params"]
    return init_train_state(rng.stream(key, "train", 0), params, tx)
