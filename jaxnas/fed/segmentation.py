"""Segmentation across clients: what their training is, and what a trained client applies.

Batch statistics never leave a client. A local step normalises by its own batch, as at one site, so
between two averages there is nothing to average but weights; and afterwards every client takes
precise statistics of its own training images under the weights that it uses. Averaged variances, as
FedNAS averages them, would leave out how far the clients' means lie apart, and statistics of others
do not fit images of this scanner (as in SiloBN and FedBN, where they stay local too).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen as nn

from jaxnas.core.errors import UserError
from jaxnas.core.federated_schema import Method
from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.engine.augment import Augmentation
from jaxnas.engine.precise_norm import deployed_variables, make_statistics
from jaxnas.engine.run import Run
from jaxnas.engine.rundir import TreeFile
from jaxnas.engine.segmentation_losses import SEGMENTATION_LOSSES, segmentation_loss
from jaxnas.engine.segmentation_training import augmentation, init_segmentation
from jaxnas.engine.segmentation_validation import DiceValidation
from jaxnas.engine.state import TrainLoss
from jaxnas.fed.labeled_clients import LabeledClient
from jaxnas.fed.local import ClientBatches, Cohort, client_seed, local_steps
from jaxnas.fed.rounds import Federation
from jaxnas.fed.state import FedState
from jaxnas.fed.training import Validate, Validation, client_scores, load_method, method_folder
from jaxnas.ops.norm import STATISTICS
from jaxnas.search.stage import HalfBatches


@dataclass(frozen=True)
class Segmentation:
    """The `Task`: a loss of SEGMENTATION_LOSSES on augmented batches."""

    objective: str
    augmentation: Augmentation

    def init(self, key: jax.Array, net: nn.Module) -> Any:
        """The variables of a network before training."""
        return init_segmentation(key, net)

    def loss(self, net: nn.Module) -> TrainLoss:
        """loss(params, batch, key) -> (scalar, {})."""
        return segmentation_loss(net, SEGMENTATION_LOSSES[self.objective], self.augmentation)


def segmentation_task(config: SegmentationConfig) -> Segmentation:
    """The task of a config."""
    return Segmentation(config.train.loss, augmentation(config))


def training_cohort(config: SegmentationConfig, clients: Sequence[LabeledClient]) -> Cohort:
    """The clients with batches of their training slices, `train.batch` at a time."""
    streams = [_training_batches(config, client) for client in clients]
    return _cohort(config, clients, streams, [stream.per_epoch for stream in streams])


def search_cohort(config: SegmentationConfig, clients: Sequence[LabeledClient]) -> Cohort:
    """The clients with batches of both halves of their training patients."""
    streams = []
    for client in clients:
        seed = client_seed(config.seed, client.name, "search")
        halves = client.dataset.halves(size=config.search.batch, seed=seed)
        streams.append(HalfBatches(*halves))
    return _cohort(config, clients, streams, [stream.train.per_epoch for stream in streams])


def take_statistics(
    run: Run,
    method: Method,
    net: nn.Module,
    clients: Sequence[LabeledClient],
) -> None:
    """Writes the batch statistics of every client under the weights that it uses.

    `train.statistics` batches of its training slices, without augmentation; kept where they exist.
    """
    config, statistics = run.config, make_statistics(net)
    names = [client.name for client in clients]
    if all(_statistics_file(run, method, name).exists() for name in names):
        return
    trained = load_method(run, segmentation_task(config), method, net, names)
    for number, client in enumerate(clients):
        batches = _training_batches(config, client)
        params, count = trained.params(number), config.train.statistics
        deployed = deployed_variables(statistics, params, batches, count=count)
        _statistics_file(run, method, client.name).write(deployed[STATISTICS])


def dice_validation(config: SegmentationConfig, clients: Sequence[LabeledClient]) -> Validation:
    """The loop's validation: every client's mean Dice as `valid_dice/<client>`, with the weights
    and the statistics that it would be deployed with, and their mean as `valid_dice`."""

    def make(federation: Federation, net: nn.Module) -> Validate:
        score, statistics = DiceValidation(net, slices=config.latency.stack), make_statistics(net)
        batches = [_training_batches(config, client) for client in clients]
        count = config.train.statistics

        def validate(state: FedState) -> dict[str, float]:
            scores = {}
            for i, client in enumerate(clients):
                params = federation.client_model(state, i)["params"]
                variables = deployed_variables(statistics, params, batches[i], count=count)
                scores[client.name] = score(variables, client.dataset)
            return client_scores("valid_dice", scores)

        return validate

    return make


def client_variables(
    run: Run, method: Method, net: nn.Module, names: Sequence[str]
) -> list[dict[str, Any]]:
    """`params` and `batch_stats` that each of the clients `names` applies; UserError where its
    training is not finished."""
    trained = load_method(run, segmentation_task(run.config), method, net, names)
    found = []
    for number, name in enumerate(names):
        statistics = _statistics_file(run, method, name)
        if not statistics.exists():
            raise UserError(
                f"{run.path}: training of {method_folder(method)} is not finished; go on with "
                f"jaxnas train"
            )
        found.append({"params": trained.params(number), STATISTICS: statistics.read()})
    return found


def _training_batches(config: SegmentationConfig, client: LabeledClient) -> Any:
    seed = client_seed(config.seed, client.name, "train")
    return client.dataset.batches(size=config.train.batch, seed=seed)


def _cohort(
    config: SegmentationConfig,
    clients: Sequence[LabeledClient],
    streams: Sequence[Any],
    per_epoch: Sequence[int],
) -> Cohort:
    names, weights = zip(*((client.name, client.weight) for client in clients))
    batches = ClientBatches(streams, local_steps(config.federated, per_epoch))
    return Cohort(names, weights, batches)


def _statistics_file(run: Run, method: Method, client: str) -> TreeFile:
    return run.dir.statistics(f"{method.model}-{method.label}-{client}")
