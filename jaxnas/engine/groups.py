"""The data that train and that validate, and their batches: one rule for tasks and settings."""

from jaxnas.core.errors import UserError
from jaxnas.core.notices import warn
from jaxnas.core.sections import Experiment
from jaxnas.data.batches import EpochStream, HalfBatches
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.run import Run
from jaxnas.engine.task import Dataset


def training_data(config: Experiment, dataset: Dataset) -> Dataset:
    """The dataset as a training sees it: where nothing validates, and nothing is selected, the
    group `valid` trains too.

    The paper retrains on the whole training set; nobody trains on the group `test`, and a search
    halves the group `train` alone.
    """
    groups = dataset.groups
    if config.train.validate_every or config.select or not groups["valid"]:
        return dataset
    whole = {"train": (*groups["train"], *groups["valid"]), "valid": ()}
    return dataset.regrouped({**groups, **whole})


def training_cohort(config: Experiment, cohort: Cohort) -> Cohort:
    """Every member with its `training_data`; weights stay as they are."""
    return cohort.mapped(lambda dataset: training_data(config, dataset))


def training_streams(config: Experiment, cohort: Cohort) -> dict[str, EpochStream]:
    """The training batches of every member."""
    return {
        name: dataset.batches(size=config.train.batch, seed=cohort.seed(config.seed, name, "train"))
        for name, dataset in cohort.members.items()
    }


def search_streams(config: Experiment, cohort: Cohort) -> dict[str, HalfBatches]:
    """The batches of every member's two halves: `train` for the weights, `valid` for the alphas."""
    return {
        name: HalfBatches(
            *dataset.halves(size=config.search.batch, seed=cohort.seed(config.seed, name, "search"))
        )
        for name, dataset in cohort.members.items()
    }


def check_training_data(config: Experiment, cohort: Cohort) -> None:
    """UserError where a validation is asked for and a member has nothing set aside; a warning for
    less than a batch."""
    for name, dataset in cohort.members.items():
        who = _who(cohort, name)
        if config.train.validate_every and not dataset.groups["valid"]:
            raise UserError(
                f"{who}train.validate_every is {config.train.validate_every}, but no volume is set "
                f"aside for validation; give data.split a valid_fraction above 0, or names for "
                f"valid where it takes them, or set train.validate_every: 0"
            )
        slices = training_data(config, dataset).count("train")
        _warn_of_less_than_a_batch(slices, config.train.batch, "train.batch", f"{who}training data")


def check_search_data(config: Experiment, cohort: Cohort) -> None:
    """UserError unless the group `train` of every member can be halved; a warning for a half of
    less than a batch."""

    def check(name: str, dataset: Dataset) -> None:
        counts = dataset.half_counts(cohort.seed(config.seed, name, "search"))
        for half, slices in zip(("weights", "architecture"), counts):
            what = f"{_who(cohort, name)}the half of the {half}"
            _warn_of_less_than_a_batch(slices, config.search.batch, "search.batch", what)

    cohort.each(check)


def log_training(run: Run, cohort: Cohort) -> None:
    """Shows one line where volumes or patients set aside for validation train too."""
    config, members = run.config, cohort.members.values()
    given = sum(len(d.groups["valid"]) for d in members if training_data(config, d) is not d)
    if given:
        run.log(f"{given} validation volumes train too: nothing validates")


def _who(cohort: Cohort, name: str) -> str:
    place = cohort.place(name)
    return f"{place}: " if place else ""


def _warn_of_less_than_a_batch(slices: int, batch: int, key: str, what: str) -> None:
    if slices < batch:
        warn(f"{what}: {slices} slices, fewer than {key} {batch}; they are repeated to fill it")
