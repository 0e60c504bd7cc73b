"""The trained network of a run that a command, or a notebook, asks for."""

from collections.abc import Collection

from flax import linen as nn

from jaxnas.core.errors import UserError
from jaxnas.engine.cohort import fold_name
from jaxnas.engine.networks import Choice, Trained
from jaxnas.engine.run import Run
from jaxnas.engine.task import Task, Variables
from jaxnas.engine.training import trained_variables, training_name
from jaxnas.fed.clients import read_clients
from jaxnas.fed.section import Method
from jaxnas.fed.state import ModelTree
from jaxnas.fed.training import abstract_model, is_personal, load_method
from jaxnas.stages.run import task_kind


def check_task(run: Run, task: str, *, instead: str) -> None:
    """UserError for a run of another task; `instead` says what to do."""
    if run.config.task != task:
        raise UserError(f"{run.path}: is a run of task {run.config.task}{instead}")


def load_trained(run: Run, choice: Choice) -> Trained:
    """The network of a finished run; UserError where the run has no such, or more than one.

    A model that is the only one need not be named.
    """
    kind = task_kind(run.config)
    nets = kind.networks(run)
    if choice.model is None and len(nets) == 1:
        choice = choice._replace(model=next(iter(nets)))
    if choice.model is None:
        raise UserError(f"--model is missing: the run has {', '.join(nets)}; give one of them")
    check_known("--model", choice.model, nets)
    net = nets[choice.model]
    if run.config.federated is not None:
        return Trained(choice, net, _of_client(run, choice, net))
    check_alone(choice, "was trained at one site")
    choice = choice._replace(fold=_fold(run, choice))
    name = training_name(kind.trained_as(nets)[choice.named], fold_name(choice.fold))
    return Trained(choice, net, trained_variables(run, kind.task(run.config), net, name))


def check_known(option: str, value: str | None, known: Collection[str]) -> None:
    """UserError if what an option names is not in the run."""
    if value not in known:
        raise UserError(f"{option} {value}: not in this run; it has {', '.join(known)}")


def check_alone(choice: Choice, why: str) -> None:
    """UserError for a strategy or a client where there is none; `why` says so of the model."""
    for option, value in (("--strategy", choice.strategy), ("--client", choice.client)):
        if value is not None:
            raise UserError(f"{option} {value}: {choice.model} {why}; leave {option} out")


def _fold(run: Run, choice: Choice) -> int | None:
    """The fold that is asked for, or the only one."""
    folds = getattr(run.config.train, "folds", None) or (None,)
    if choice.fold is not None and folds == (None,):
        raise UserError(f"--fold {choice.fold}: the run has no folds; leave --fold out")
    fold = folds[0] if choice.fold is None and len(folds) == 1 else choice.fold
    if fold not in folds:
        raise UserError(f"--fold: expected one of {', '.join(map(str, folds))}, found {fold}")
    return fold


def _of_client(run: Run, choice: Choice, net: nn.Module) -> Variables:
    """The variables of a network that was trained across clients: a client's own, or common."""
    task = task_kind(run.config).task(run.config)
    methods = {m.label: m for m in run.config.federated.methods if m.model == choice.model}
    if choice.strategy is None:
        raise UserError(
            f"--strategy is missing: {choice.model} was trained across clients with "
            f"{', '.join(methods)}; give one of them"
        )
    check_known("--strategy", choice.strategy, methods)
    if choice.fold is not None:
        raise UserError(f"--fold {choice.fold}: the run has no folds; leave --fold out")
    method = methods[choice.strategy]
    names = [entry["name"] for entry in read_clients(run.dir)]
    if choice.client is not None:
        check_known("--client", choice.client, names)
    elif own := _own_variables(method, abstract_model(task, net), task):
        raise UserError(
            f"--client is missing: with {choice.strategy} every client has {own} of its own; "
            f"give one of {', '.join(names)}"
        )
    return load_method(run, task, method, net, names).variables(choice.client or names[0])


def _own_variables(method: Method, model: ModelTree, task: Task) -> str | None:
    """The variables that every client has of its own, in words."""
    if task.collections:
        return "batch statistics"
    return "weights" if is_personal(method, model) else None
