"""Reconstruction across clients: what their training is, and what a federated run needs of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn

from jaxnas.core.schema import AcquisitionConfig, Config
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.losses import DISTANCES, reconstruction_loss
from jaxnas.engine.run import Run
from jaxnas.engine.state import TrainLoss
from jaxnas.engine.training import find_genotype, make_validation, trainable
from jaxnas.fed.batches import search_batches, training_batches
from jaxnas.fed.clients import Client
from jaxnas.fed.local import ClientBatches, Cohort
from jaxnas.fed.members import check_training_members, training_members
from jaxnas.fed.rounds import Federation
from jaxnas.fed.training import (
    Validate,
    Validation,
    check_methods,
    client_scores,
    train_methods,
)
from jaxnas.models.networks import DERIVED, init_variables


@dataclass(frozen=True)
class Reconstruction:
    """The `Task`: a loss of DISTANCES in scaled units, on strips of `rows` rows unless None.

    The masks come with the batches; of the acquisition only the scale is used, common to all.
    """

    acquisition: AcquisitionConfig
    distance: str = "l1"
    rows: int | None = None

    def init(self, key: jax.Array, net: nn.Module) -> Any:
        """The variables of a network before training."""
        return init_variables(key, net)

    def loss(self, net: nn.Module) -> TrainLoss:
        """loss(params, batch, key) -> (scalar, {})."""
        distance = DISTANCES[self.distance]
        return reconstruction_loss(net, self.acquisition, distance=distance, rows=self.rows)


def reconstruction_task(config: Config) -> Reconstruction:
    """The task of a config."""
    return Reconstruction(config.acquisition, config.train.loss, config.train.rows)


def training_cohort(config: Config, clients: Sequence[Client]) -> Cohort:
    """The clients with the batches of a training."""
    return _cohort(clients, training_batches(config, clients))


def search_cohort(config: Config, clients: Sequence[Client]) -> Cohort:
    """The clients with the batches of a search."""
    return _cohort(clients, search_batches(config, clients))


def check_training(run: Run, clients: Sequence[Client], *, searched: bool, fresh: bool) -> None:
    """Raises UserError for whatever training would stumble over; computes and writes nothing.

    `searched` and `fresh` as in `trainable`; a network still to be found is not looked into.
    """
    nets = trainable(run, searched=searched, fresh=fresh)
    check_training_members(run.config, clients)
    cohort = training_cohort(run.config, training_members(run.config, clients))
    check_methods(run.config, _task(run.config, clients), nets, cohort)


def train_all(run: Run, clients: Sequence[Client], writer: MetricWriter) -> None:
    """Trains every method of a run, which keeps the genotype it trains."""
    if any(method.model == DERIVED for method in run.config.federated.methods):
        run.dir.genotype.write(find_genotype(run))
    train_methods(
        run,
        _task(run.config, clients),
        trainable(run),
        training_cohort(run.config, training_members(run.config, clients)),
        writer,
        validation=_validation(clients),
    )


def _task(config: Config, clients: Sequence[Client]) -> Reconstruction:
    """The task, with the scale of the clients."""
    return Reconstruction(clients[0].acquisition, config.train.loss, config.train.rows)


def _cohort(clients: Sequence[Client], batches: ClientBatches) -> Cohort:
    names, weights = zip(*((client.name, client.weight) for client in clients))
    return Cohort(names, weights, batches)


def _validation(clients: Sequence[Client]) -> Validation:
    """The loop's validation: every client's PSNR with its own model, and their mean."""

    def make(federation: Federation, net: nn.Module) -> Validate:
        score = make_validation(net)

        def validate(state):
            scores = {}
            for i, client in enumerate(clients):
                params = federation.client_model(state, i)["params"]
                scores[client.name] = score(params, client.dataset, client.acquisition)
            return client_scores("valid_psnr", scores)

        return validate

    return make
