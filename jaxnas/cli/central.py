"""The stages of a run at one site."""

from collections.abc import Sequence

from jaxnas.cli.stages import note_training, show_genotype
from jaxnas.cli.unrolled_latency import check_latency, load_aim, note_latency
from jaxnas.engine.acquire import check_masks
from jaxnas.engine.groups import check_search_data, check_training_data, training_data
from jaxnas.engine.inputs import Groups
from jaxnas.engine.logs import RunLog
from jaxnas.engine.rundir import Run
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


def held(dataset: Dataset) -> dict[str, Groups]:
    """The volumes of every group."""
    return {"site": dataset.held()}


def search(run: Run, dataset: Dataset, log: RunLog) -> None:
    """Searches and writes the genotype."""
    from jaxnas.search import stage

    stage.search(run, dataset, log, aim=load_aim(run, dataset))


def derive(run: Run, dataset: Dataset, log: RunLog) -> None:
    """Shows the genotype, and how long its network takes where a latency is asked for."""
    show_genotype(run)
    note_latency(run, dataset)


def train(run: Run, dataset: Dataset, log: RunLog) -> None:
    """Trains the networks of the config."""
    note_training(run, [dataset])
    train_all(run, training_data(run.config, dataset), log)


def evaluate(run: Run, dataset: Dataset, log: RunLog) -> None:
    """Compares them on the test volumes."""
    from jaxnas.engine.comparison import compare

    compare(run, dataset)
