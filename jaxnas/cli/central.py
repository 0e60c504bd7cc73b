"""The stages of a run at one site."""

from collections.abc import Sequence

from jaxnas.cli.unrolled_latency import check_latency, load_aim, log_derived
from jaxnas.engine.acquire import check_masks
from jaxnas.engine.groups import check_search_data, check_training_data, log_training, training_data
from jaxnas.engine.inputs import HeldGroups
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.run import Run
from jaxnas.engine.sources import Dataset, open_dataset
from jaxnas.engine.training import check_training, train_all, trainable
from jaxnas.search.stage import check_search


def prepare(run: Run, stages: Sequence[str], fresh: bool) -> Dataset:
    """The data of a run, once its networks are known to be trainable; writes nothing."""
    if "train" in stages:
        trainable(run, searched="search" in stages, fresh=fresh)
    dataset = open_dataset(run.config)
    if {"search", "train", "evaluate"} & {*stages}:
        dataset.check_sampled()
        check_masks(run.config.acquisition, dataset.sizes)
    check_latency(run.config, dataset)
    if "search" in stages:
        check_search_data(run.config, dataset, run.config.seed)
        check_search(run.config, dataset)
    if "train" in stages:
        check_training_data(run.config, dataset)
        check_training(run.config, training_data(run.config, dataset))
    return dataset


def held(dataset: Dataset) -> dict[str, HeldGroups]:
    """The volumes of every group."""
    return {"site": dataset.held()}


def search(run: Run, dataset: Dataset, writer: MetricWriter) -> None:
    """Searches and writes the genotype."""
    from jaxnas.search import stage

    stage.search(run, dataset, writer, aim=load_aim(run, dataset))


def derive(run: Run, dataset: Dataset, writer: MetricWriter) -> None:
    """Shows the genotype, and how long its network takes where a latency is asked for."""
    log_derived(run, dataset)


def train(run: Run, dataset: Dataset, writer: MetricWriter) -> None:
    """Trains the networks of the config."""
    log_training(run, [dataset])
    train_all(run, training_data(run.config, dataset), writer)


def evaluate(run: Run, dataset: Dataset, writer: MetricWriter) -> None:
    """Compares them on the test volumes."""
    from jaxnas.engine.comparison import compare

    compare(run, dataset)
