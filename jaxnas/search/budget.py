"""The length of a search in steps, whatever the task."""

from typing import Any

from jaxnas.core.sections import Experiment
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.optim import check_schedule
from jaxnas.engine.task import Dataset
from jaxnas.search.section import check_warmup


def search_steps(config: Experiment, per_epoch: int) -> int:
    """The steps of a search at one site, for `per_epoch` batches of the half of the weights.

    UserError where the alphas would never move, or a schedule does not fit.
    """
    steps = config.search.in_steps(per_epoch)
    check_warmup(config, steps)
    check_optimizers(config, steps)
    return steps


def check_search(config: Experiment, cohort: Cohort) -> None:
    """UserError where a search at one site does not fit into its steps; reads no image."""

    def check(name: str, dataset: Dataset) -> None:
        slices, _ = dataset.half_counts(cohort.seed(config.seed, name, "search"))
        search_steps(config, -(-slices // config.search.batch))

    cohort.each(check)


def check_optimizers(config: Experiment, steps: int) -> None:
    """UserError for a schedule that does not fit into a search of `steps` steps."""
    for name in ("weights", "alphas"):
        check_schedule(getattr(config.search, name), steps, key=f"search.{name}")


def config_in_steps(config: Experiment, steps: int, *, per_round: int = 1) -> Any:
    """The config of a search of `steps` steps.

    What a config counts in steps of the search (`warmup`, `check_every`) is counted in rounds
    across clients, of `per_round` steps each.
    """
    warmup = config.search.held(steps // per_round) * per_round
    changed = {"steps": steps, "epochs": None, "warmup": warmup}
    return config.model_copy(update={"search": config.search.model_copy(update=changed)})
