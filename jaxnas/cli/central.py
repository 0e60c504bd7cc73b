"""The stages of a run at one site."""

from collections.abc import Sequence

from jaxnas.cli.stages import show_genotype
from jaxnas.engine.logs import RunLog
from jaxnas.engine.rundir import Run
from jaxnas.engine.sources import Dataset, open_dataset
from jaxnas.engine.training import train_all, trainable


def prepare(run: Run, stages: Sequence[str], fresh: bool) -> Dataset:
    """The data of a run, once its networks are known to be trainable; writes nothing."""
    if "train" in stages:
        trainable(run, searched="search" in stages, fresh=fresh)
    return open_dataset(run.config)


def search(run: Run, dataset: Dataset, log: RunLog) -> None:
    """Searches and writes the genotype."""
    from jaxnas.search import stage

    stage.search(run, dataset, log)


derive = show_genotype


def train(run: Run, dataset: Dataset, log: RunLog) -> None:
    """Trains the networks of the config."""
    train_all(run, dataset, log)


def evaluate(run: Run, dataset: Dataset, log: RunLog) -> None:
    """Compares them on the test volumes."""
    from jaxnas.engine.comparison import compare

    compare(run, dataset)
