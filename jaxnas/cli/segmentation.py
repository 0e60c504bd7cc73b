"""The stages of a segmentation run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxnas.core.errors import UserError
from jaxnas.core.places import placed
from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.engine.groups import check_search_data, check_training_data, log_training, training_data
from jaxnas.engine.inputs import HeldGroups
from jaxnas.engine.labeled import LabeledDataset, open_labeled_dataset
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.run import Run
from jaxnas.engine.segmentation_training import check_training, train_all
from jaxnas.search import two_level
from jaxnas.search.deployed import load_deployment
from jaxnas.search.derive_networks import check_paths_exist, derive_networks
from jaxnas.search.device import calibration_name, given_table, load_calibration
from jaxnas.search.profile import operation_times, two_level_space
from jaxnas.search.segmentation_evaluation import evaluate_networks
from jaxnas.search.segmentation_networks import check_models, keep_genotypes, networks, trained_as


@dataclass(frozen=True)
class Datasets:
    """The data of every fold that is trained; None is the config's own split."""

    by_fold: Mapping[int | None, LabeledDataset]

    @property
    def search(self) -> LabeledDataset:
        """The data that a search takes place on: the first."""
        return next(iter(self.by_fold.values()))


def prepare(run: Run, stages: Sequence[str], fresh: bool) -> Datasets:
    """The data of a run, once its networks are known to be trainable; writes nothing."""
    config = run.config
    check_models(config)
    check_decoding(config, stages)
    if "train" in stages:
        networks(run, searched="search" in stages, fresh=fresh)
    folds = config.train.folds or (None,)
    if folds != (None,) and config.data.split.method == "fractions":
        raise UserError(
            "train.folds: only data.split.method nnunet and modulo have folds, found fractions; "
            "set one of them, or folds: null"
        )
    section = placed(config).data
    data = Datasets(
        {fold: open_labeled_dataset(section, seed=config.seed, fold=fold) for fold in folds}
    )
    if "search" in stages:
        check_search_data(config, data.search, config.seed)
        two_level.check_search(config, data.search)
    if "train" in stages:
        for dataset in data.by_fold.values():
            check_training_data(config, dataset)
            check_training(config, training_data(config, dataset))
    return data


def held(data: Datasets) -> dict[str, HeldGroups]:
    """The volumes of every group of every fold."""
    names = {fold: "site" if fold is None else f"fold {fold}" for fold in data.by_fold}
    return {names[fold]: dataset.held() for fold, dataset in data.by_fold.items()}


def search(run: Run, data: Datasets, writer: MetricWriter) -> None:
    """Measures the device, then searches cells and betas."""
    space = two_level_space(run.config)
    deployment = load_deployment(run)
    fitted = load_calibration(run, deployment)
    where = calibration_name(run)
    aim = two_level.make_aim(run.config, space, deployment.times, fitted, where=where)
    two_level.search(run, space, data.search, writer, aim)


def derive(run: Run, data: Datasets, writer: MetricWriter) -> None:
    """Decodes networks out of what was searched, and measures them."""
    deployment = load_deployment(run)
    fitted = load_calibration(run, deployment)
    derive_networks(run, deployment, two_level.searched_weights(run), fitted)


def train(run: Run, data: Datasets, writer: MetricWriter) -> None:
    """Trains the networks of the config, on every fold; those of the same cells once."""
    keep_genotypes(run)
    nets = networks(run)
    for name, first in trained_as(nets).items():
        if name != first:
            run.log(f"{name}: the network of {first}, trained once")
            del nets[name]
    log_training(run, [*data.by_fold.values()])
    whole = {fold: training_data(run.config, dataset) for fold, dataset in data.by_fold.items()}
    train_all(run, nets, whole, writer)


def evaluate(run: Run, data: Datasets, writer: MetricWriter) -> None:
    """Compares them on the test volumes."""
    evaluate_networks(run, networks(run), data.by_fold)


def check_decoding(config: SegmentationConfig, stages: Sequence[str]) -> None:
    """Raises UserError for a latency table of another device or without an operation, and for more
    paths than there are."""
    if config.latency.table is not None:
        operation_times(given_table(config.latency), config, where=config.latency.table)
    if "derive" in stages:
        check_paths_exist(config.decode, two_level_space(config).grid)
