"""The stages of a segmentation run across clients."""

from collections.abc import Sequence
from dataclasses import replace

from flax import linen as nn

from jaxnas.cli import segmentation as central
from jaxnas.core.errors import UserError
from jaxnas.engine.groups import log_training
from jaxnas.engine.inputs import HeldGroups
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.run import Run
from jaxnas.engine.training import model_names, models_key
from jaxnas.fed import segmentation_comparison as comparison
from jaxnas.fed import segmentation_search as searching
from jaxnas.fed.labeled_clients import (
    LabeledClient,
    check_labeled_clients,
    describe_labeled_client,
    open_labeled_clients,
)
from jaxnas.fed.members import check_training_members, training_members
from jaxnas.fed.roster import write_roster
from jaxnas.fed.segmentation import (
    dice_validation,
    segmentation_task,
    take_statistics,
    training_cohort,
)
from jaxnas.fed.training import check_methods, train_methods
from jaxnas.models.networks import DERIVED
from jaxnas.search import two_level
from jaxnas.search.deployed import load_deployment
from jaxnas.search.device import calibration_name, load_calibration
from jaxnas.search.segmentation_networks import DECODED, check_models, keep_genotypes
from jaxnas.search.segmentation_networks import networks as central_networks

Clients = Sequence[LabeledClient]


def prepare(run: Run, stages: Sequence[str], fresh: bool) -> Clients:
    """The clients of a run, each seen to have what the stages need; writes nothing."""
    config = run.config
    check_models(_as_central(run).config)
    central.check_decoding(config, stages)
    clients = open_labeled_clients(config)
    check_labeled_clients(config, clients)
    if "search" in stages:
        searching.check_search(config, clients)
    if "train" in stages:
        nets = networks(run, searched="search" in stages, fresh=fresh)
        check_training_members(config, clients)
        cohort = training_cohort(config, training_members(config, clients))
        check_methods(config, segmentation_task(config), nets, cohort)
    if {"search", "train"} & {*stages}:
        for client in clients:
            run.log(describe_labeled_client(client))
    return clients


def held(clients: Clients) -> dict[str, HeldGroups]:
    """The volumes of every group of every client."""
    return {client.name: client.dataset.held() for client in clients}


def search(run: Run, clients: Clients, writer: MetricWriter) -> None:
    """Measures the device, then searches cells and betas."""
    write_roster(run.dir, clients)
    deployment = load_deployment(run)
    fitted = load_calibration(run, deployment)
    where = calibration_name(run)
    aim = two_level.make_aim(run.config, deployment.space, deployment.times, fitted, where=where)
    searching.search(run, clients, writer, aim)


def derive(run: Run, clients: Clients, writer: MetricWriter) -> None:
    """Decodes networks out of what was searched, and measures them."""
    central.derive(run, clients, writer)


def train(run: Run, clients: Clients, writer: MetricWriter) -> None:
    """Trains the methods of the config, then takes the statistics of every client."""
    write_roster(run.dir, clients)
    keep_genotypes(_as_central(run))
    log_training(run, [client.dataset for client in clients])
    nets, task = networks(run), segmentation_task(run.config)
    members = training_members(run.config, clients)
    cohort = training_cohort(run.config, members)
    train_methods(run, task, nets, cohort, writer, validation=dice_validation(run.config, members))
    for method in run.config.federated.methods:
        take_statistics(run, method, nets[method.model], members)


def evaluate(run: Run, clients: Clients, writer: MetricWriter) -> None:
    """Compares them on every client's test volumes."""
    comparison.compare(run, networks(run), clients)


def networks(run: Run, *, searched: bool = False, fresh: bool = False) -> dict[str, nn.Module]:
    """The networks of the methods by name; computes and writes nothing. With `searched` a search of
    the same command is still to find `derived`, and it is left out."""
    found = _as_central(run, leave_out=(DERIVED,) if searched else ())
    return central_networks(found, fresh=fresh) if found.config.train.models else {}


def _as_central(run: Run, *, leave_out: Sequence[str] = ()) -> Run:
    """The run as one at one site that trains the networks of the methods."""
    names = tuple(name for name in model_names(run.config) if name not in leave_out)
    if DECODED in names:
        raise UserError(
            f"{models_key(run.config)}: {DECODED!r} stands for several networks; expected "
            f"derived, which is the last of them, or another network"
        )
    train = run.config.train.model_copy(update={"models": names})
    return replace(run, config=run.config.model_copy(update={"train": train}))
