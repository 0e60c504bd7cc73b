"""Training the networks of a config, member by member: same batches, same steps for all."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax
from flax import linen as nn

from jaxnas.core import rng
from jaxnas.core.errors import UserError
from jaxnas.core.sections import Experiment
from jaxnas.data.batches import EpochStream
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.cohort import SITE, Cohort
from jaxnas.engine.groups import training_streams
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.networks import DERIVED
from jaxnas.engine.optim import check_schedule, make_optimizer
from jaxnas.engine.run import Run
from jaxnas.engine.step import CompiledStep, TrainState, init_train_state, make_train_step
from jaxnas.engine.task import Dataset, Finish, Task, Validate, Variables
from jaxnas.ops.norm import STATISTICS


def training_name(model: str, member: str) -> str:
    """The name of a training in a run: `<model>`, of a fold `<model>/fold<n>`."""
    return model if member == SITE else f"{model}/{member.replace(' ', '')}"


def training_steps(config: Experiment, per_epoch: int) -> int:
    """The budget of a training in steps, for `per_epoch` batches in an epoch.

    UserError where the schedule does not fit into it.
    """
    steps = config.train.in_steps(per_epoch)
    check_schedule(config.train.optimizer, steps, key="train.optimizer")
    return steps


def check_training(config: Experiment, cohort: Cohort) -> None:
    """UserError where the schedule does not fit into a training of a member; reads no image."""

    def check(name: str, dataset: Dataset) -> None:
        training_steps(config, -(-dataset.count("train") // config.train.batch))

    cohort.each(check)


def train_all(
    run: Run, task: Task, nets: Mapping[str, nn.Module], cohort: Cohort, writer: MetricWriter
) -> None:
    """Trains every network on every member, one after the other; finished ones cost nothing.

    A network is compiled once for all members of one length.
    """
    streams = training_streams(run.config, cohort)
    for model, net in nets.items():
        programs: dict[int, Programs] = {}
        for member, dataset in cohort.members.items():
            steps = training_steps(run.config, streams[member].per_epoch)
            if steps not in programs:
                programs[steps] = make_programs(run.config, task, net, steps)
            name = training_name(model, member)
            train_network(run, task, name, net, programs[steps], dataset, streams[member], writer)


class Programs(NamedTuple):
    """The compiled parts of a training of `steps` steps."""

    steps: int
    tx: optax.GradientTransformation
    step: CompiledStep
    finish: Finish
    validate: Validate


def make_programs(config: Experiment, task: Task, net: nn.Module, steps: int) -> Programs:
    """The programs of `net`; nothing is compiled before it is called."""
    tx = make_optimizer(config.train.optimizer, steps)
    step = CompiledStep(make_train_step(task.loss(net), tx), Clock())
    return Programs(steps, tx, step, task.finish(net), task.validate(net))


def train_network(
    run: Run,
    task: Task,
    name: str,
    net: nn.Module,
    programs: Programs,
    dataset: Dataset,
    stream: EpochStream,
    writer: MetricWriter,
) -> TrainState:
    """Trains one network, keeps what it is applied with beside its parameters, and returns its
    last state.

    The key of initialisation, data order and draws is the run's: it does not depend on `name`.
    """
    every = run.config.train.validate_every

    def validate(state: TrainState) -> dict[str, float]:
        return {task.score: programs.validate(programs.finish(state.params, stream), dataset)}

    state = _train_until(
        run,
        initial_state(run.config, task, net, programs.tx),
        programs,
        stream,
        writer,
        stage="train",
        name=name,
        until=programs.steps,
        validate=validate if every else None,
        every=every,
    )
    keep_statistics(run, task, name, lambda: programs.finish(state.params, stream))
    return state


def _train_until(
    run: Run,
    state: TrainState,
    programs: Programs,
    stream: EpochStream,
    writer: MetricWriter,
    *,
    stage: str,
    name: str,
    until: int,
    validate: Callable[[TrainState], Mapping[str, float]] | None = None,
    every: int = 0,
) -> TrainState:
    """The state of a training after `until` of its steps; goes on where it was left."""
    clock, config = Clock(), run.config
    with CheckpointStore(run.dir.checkpoints(f"{stage}-{name}"), keep=2) as store:
        state = run_loop(
            programs.step.under(clock),
            state,
            stream,
            steps=until,
            store=store,
            writer=writer,
            stage=stage,
            model=name,
            every=Cadence(log=config.log_every, checkpoint=config.checkpoint_every, validate=every),
            validate=validate,
            clock=clock,
            quiet=run.quiet,
        )
    run.dir.record_timing(f"{stage} {name}", clock.summary())
    return state


class SiteTraining:
    """Trainings of candidates at one site: as `train_network` trains, but stopped on the way.

    `length` is a whole training, in `unit`.
    """

    unit = "steps"

    def __init__(self, run: Run, task: Task, cohort: Cohort, writer: MetricWriter) -> None:
        ((self._member, self._dataset),) = cohort.members.items()
        self._run, self._task, self._writer = run, task, writer
        self._stream = training_streams(run.config, cohort)[self._member]
        self._programs: dict[str, Programs] = {}
        self.length = training_steps(run.config, self._stream.per_epoch)

    def reach(self, stage: str, name: str, net: nn.Module, *, until: int) -> float:
        """Trains a network on to step `until` and returns its score on the validation volumes."""
        if name not in self._programs:
            self._programs[name] = make_programs(self._run.config, self._task, net, self.length)
        programs, task = self._programs[name], self._task
        state = _train_until(
            self._run,
            initial_state(self._run.config, task, net, programs.tx),
            programs,
            self._stream,
            self._writer,
            stage=stage,
            name=name,
            until=until,
        )
        return float(programs.validate(programs.finish(state.params, self._stream), self._dataset))

    def adopt(self, stage: str, name: str, net: nn.Module) -> None:
        """Makes the training of a candidate that of the network `derived`, to be gone on with."""
        tx = make_optimizer(self._run.config.train.optimizer, self.length)
        state = jax.eval_shape(lambda: initial_state(self._run.config, self._task, net, tx))
        hand_over(self._run, f"{stage}-{name}", self._own, state)

    @property
    def _own(self) -> str:
        return f"train-{training_name(DERIVED, self._member)}"


def hand_over(run: Run, source: str, target: str, state: Any) -> None:
    """Makes the checkpoint of one training the beginning of another that has none yet; `state` has
    its shapes and dtypes."""
    with CheckpointStore(run.dir.checkpoints(target)) as theirs:
        if theirs.latest() is not None:
            return
        with CheckpointStore(run.dir.checkpoints(source)) as own:
            found = own.restore(state)
        if found is None:
            raise ValueError(f"expected a checkpoint in {run.dir.checkpoints(source)}, found none")
        reached, record = found
        theirs.save(record["step"], reached, record | {"finished": False})


def initial_state(
    config: Experiment, task: Task, net: nn.Module, tx: optax.GradientTransformation
) -> TrainState:
    """The state of a network before its first step."""
    key = rng.root_key(config.seed)
    params = task.init(rng.stream(key, "init", 0), net)["params"]
    return init_train_state(rng.stream(key, "train", 0), params, tx)


def trained_variables(run: Run, task: Task, net: nn.Module, name: str) -> dict[str, Any]:
    """The variables of a network whose training is finished; UserError if it is not."""
    directory = run.dir.checkpoints(f"train-{name}")
    if not directory.is_dir():
        raise UserError(f"{run.path}: network {name!r} is not trained yet; run jaxnas train first")
    # Steps only shape the schedule, which is no part of the state.
    tx = make_optimizer(run.config.train.optimizer, sys.maxsize)
    target = jax.eval_shape(lambda: initial_state(run.config, task, net, tx))
    with CheckpointStore(directory) as store:
        found = store.restore(target)
    if found is None or not found[1]["finished"]:
        raise unfinished(run, name)
    return {"params": found[0].params, **kept_statistics(run, task, name)}


def keep_statistics(run: Run, task: Task, name: str, finish: Callable[[], Variables]) -> None:
    """Writes what a trained network is applied with beside its parameters; kept where it exists."""
    file = run.dir.statistics(name)
    if task.collections and not file.exists():
        file.write(finish()[STATISTICS])


def kept_statistics(run: Run, task: Task, name: str) -> dict[str, Any]:
    """The collections of `keep_statistics`; UserError where they are not there yet."""
    if not task.collections:
        return {}
    if not run.dir.statistics(name).exists():
        raise unfinished(run, name)
    return {STATISTICS: run.dir.statistics(name).read()}


def unfinished(run: Run, name: str) -> UserError:
    """The error of a training that was stopped."""
    return UserError(f"{run.path}: training of {name!r} is not finished; go on with jaxnas train")
