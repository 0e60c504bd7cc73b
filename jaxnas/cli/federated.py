"""The stages of a run across clients."""

from collections.abc import Sequence

from jaxnas.cli.unrolled_latency import check_latency, load_aim, log_derived
from jaxnas.engine.groups import log_training
from jaxnas.engine.inputs import HeldGroups
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.run import Run
from jaxnas.fed import comparison
from jaxnas.fed import reconstruction as training
from jaxnas.fed import reconstruction_search as searching
from jaxnas.fed.checks import check_alike, check_sampled
from jaxnas.fed.clients import Client, describe_client, open_clients
from jaxnas.fed.roster import write_roster

Clients = Sequence[Client]


def prepare(run: Run, stages: Sequence[str], fresh: bool) -> Clients:
    """The clients of a run, each seen to have what the stages need; writes nothing."""
    clients = open_clients(run.config)
    check_alike(clients)
    if {"search", "train", "evaluate"} & {*stages}:
        check_sampled(clients)
    check_latency(run.config, clients[0].dataset)
    if "search" in stages:
        searching.check_search(run.config, clients)
    if "train" in stages:
        training.check_training(run, clients, searched="search" in stages, fresh=fresh)
    if {"search", "train"} & {*stages}:
        for client in clients:
            run.log(describe_client(client))
    return clients


def held(clients: Clients) -> dict[str, HeldGroups]:
    """The volumes of every group of every client."""
    return {client.name: client.dataset.held() for client in clients}


def search(run: Run, clients: Clients, writer: MetricWriter) -> None:
    """Searches and writes the genotype."""
    write_roster(run.dir, clients)
    searching.search(run, clients, writer, aim=load_aim(run, clients[0].dataset))


def derive(run: Run, clients: Clients, writer: MetricWriter) -> None:
    """Shows the genotype, and how long its network takes where a latency is asked for."""
    log_derived(run, clients[0].dataset)


def train(run: Run, clients: Clients, writer: MetricWriter) -> None:
    """Trains the methods of the config."""
    write_roster(run.dir, clients)
    log_training(run, [client.dataset for client in clients])
    training.train_all(run, clients, writer)


def evaluate(run: Run, clients: Clients, writer: MetricWriter) -> None:
    """Compares them on every client's test volumes."""
    comparison.compare(run, clients)
