"""The trained network of a run that a command is asked for."""

from collections.abc import Collection
from typing import Any, NamedTuple

from flax import linen as nn

from jaxnas.core.errors import UserError
from jaxnas.data.section import LabeledDataConfig
from jaxnas.engine.cohort import fold_name
from jaxnas.engine.networks import model_names
from jaxnas.engine.run import Run
from jaxnas.engine.training import trained_variables, training_name
from jaxnas.fed.clients import client_config
from jaxnas.fed.clients_file import read_acquisitions, read_clients
from jaxnas.fed.section import Method
from jaxnas.fed.training import abstract_model, is_personal, load_method
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.reconstruction.networks import trainable
from jaxnas.reconstruction.source import open_dataset
from jaxnas.reconstruction.task import reconstruction_task
from jaxnas.segmentation.networks import networks, trained_as
from jaxnas.segmentation.task import segmentation_task


class Choice(NamedTuple):
    """The names of a trained network: its model, and in a federated run the label of its method,
    and the client where each has weights of its own."""

    model: str | None
    strategy: str | None = None
    client: str | None = None

    def to_json(self) -> dict[str, str]:
        """The names that were given."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Trained(NamedTuple):
    """A trained network and the acquisition it was trained for."""

    net: nn.Module
    params: Any
    acquisition: AcquisitionConfig


class Segmenter(NamedTuple):
    """A trained segmentation network by its name and fold, with its parameters and statistics, and
    the data section that says how its images are prepared."""

    model: str
    fold: int | None
    net: nn.Module
    variables: Any
    data: LabeledDataConfig


def check_reconstruction(run: Run) -> None:
    """Raises UserError for a run whose networks do not reconstruct."""
    if run.config.task != "reconstruction":
        raise UserError(
            f"{run.path}: is a run of task {run.config.task}, its networks make no image out of "
            f"k-space; use jaxnas segment"
        )


def load_trained(run: Run, choice: Choice) -> Trained:
    """The network of a finished run; UserError where the run has no such, or more than one."""
    check_known("--model", choice.model, model_names(run.config))
    if run.config.federated is not None:
        return _federated(run, choice)
    check_alone(choice, "was trained at one site")
    net = trainable(run)[choice.model]
    variables = trained_variables(run, reconstruction_task(run.config), net, choice.model)
    return Trained(net, variables["params"], run.config.acquisition)


def load_segmenter(run: Run, choice: Choice, *, fold: int | None) -> Segmenter:
    """A network of a finished segmentation run, the only one if none is named; UserError where the
    run has no such, or more than one."""
    if run.config.federated is not None:
        return _client_segmenter(run, choice)
    model = choice.model
    nets, folds = networks(run), run.config.train.folds or (None,)
    if model is None:
        model = next(iter(nets)) if len(nets) == 1 else None
    if model not in nets:
        raise UserError(f"--model: expected one of {', '.join(nets)}, found {model}")
    if fold is not None and folds == (None,):
        raise UserError(f"--fold {fold}: the run has no folds; leave --fold out")
    fold = folds[0] if fold is None and len(folds) == 1 else fold
    if fold not in folds:
        raise UserError(f"--fold: expected one of {', '.join(map(str, folds))}, found {fold}")
    check_alone(choice._replace(model=model), "was trained at one site")
    task, name = segmentation_task(run.config), trained_as(nets)[model]
    name = training_name(name, fold_name(fold))
    variables = trained_variables(run, task, nets[model], name)
    return Segmenter(model, fold, nets[model], variables, run.config.data)


def image_of(run: Run) -> tuple[tuple[int, int], int]:
    """Height and width of a run's k-space, and its number of coils."""
    if run.config.federated is None:
        ref = open_dataset(run.config).source.slices[0]
    else:
        ref = read_acquisitions(run.dir)[0]
    return ref.shape, ref.coils


def check_known(option: str, value: str, known: Collection[str]) -> None:
    """UserError if what an option names is not in the run."""
    if value not in known:
        raise UserError(f"{option} {value}: not in this run; it has {', '.join(known)}")


def check_alone(choice: Choice, why: str) -> None:
    """UserError for a strategy or a client where there is none; `why` says so of the model."""
    for option, value in (("--strategy", choice.strategy), ("--client", choice.client)):
        if value is not None:
            raise UserError(f"{option} {value}: {choice.model} {why}; leave {option} out")


def _client_segmenter(run: Run, choice: Choice) -> Segmenter:
    """A network trained across clients, with the parameters and the statistics of a client."""
    check_known("--model", choice.model, model_names(run.config))
    method, net = _method(run, choice), networks(run)[choice.model]
    names = [entry["name"] for entry in read_clients(run.dir)]
    if choice.client is None:
        raise UserError(
            f"--client is missing: every client has batch statistics of its own; give one of "
            f"{', '.join(names)}"
        )
    check_known("--client", choice.client, names)
    trained = load_method(run, segmentation_task(run.config), method, net, names)
    data = client_config(run.config, choice.client).data
    return Segmenter(choice.model, None, net, trained.variables(choice.client), data)


def _method(run: Run, choice: Choice) -> Method:
    """The method that a choice names."""
    methods = {m.label: m for m in run.config.federated.methods if m.model == choice.model}
    if choice.strategy is None:
        raise UserError(
            f"--strategy is missing: {choice.model} was trained across clients with "
            f"{', '.join(methods)}; give one of them"
        )
    check_known("--strategy", choice.strategy, methods)
    return methods[choice.strategy]


def _federated(run: Run, choice: Choice) -> Trained:
    method, net = _method(run, choice), trainable(run)[choice.model]
    clients, task = read_acquisitions(run.dir), reconstruction_task(run.config)
    names = [entry.name for entry in clients]
    if choice.client is not None:
        check_known("--client", choice.client, names)
    elif is_personal(method, abstract_model(task, net)):
        raise UserError(
            f"--client is missing: with {choice.strategy} every client has weights of its own; "
            f"give one of {', '.join(names)}"
        )
    client = 0 if choice.client is None else names.index(choice.client)
    acquisition = run.config.acquisition if choice.client is None else clients[client].acquisition
    # All clients scale alike, but not necessarily as the acquisition of the config does.
    acquisition = acquisition.model_copy(update={"peak": clients[client].acquisition.peak})
    params = load_method(run, task, method, net, names).variables(names[client])["params"]
    return Trained(net, params, acquisition)
