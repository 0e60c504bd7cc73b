"""The stages of a run, in order: search → derive → train → evaluate → report."""

from collections.abc import Callable, Sequence

from rich.console import Console

from jaxnas.core.errors import UserError
from jaxnas.engine.logs import RunLog
from jaxnas.engine.rundir import Run, check_directory, claim
from jaxnas.engine.sources import Dataset, open_dataset
from jaxnas.engine.training import check_trainable

console = Console(stderr=True)


def named_stages(run: Run, command: str) -> tuple[str, ...]:
    """What a command does: `run` the config's stages, every other one its own."""
    if command == "run":
        return run.config.stages
    return ("search", "derive") if command == "search" else (command,)


def run_stages(run: Run, stages: Sequence[str], *, fresh: bool) -> None:
    """Runs stages in order in one process; each starts from what is on disk.

    Everything that can be wrong with the user's input is looked at before anything is written.
    """
    check_directory(run, fresh=fresh)
    if "search" in stages and run.config.genotype is not None:
        raise UserError(
            f"genotype {run.config.genotype}: given, but this command searches for one; use jaxnas "
            f"train, or stages: [train, evaluate, report]"
        )
    if "train" in stages:
        check_trainable(run, searched="search" in stages, fresh=fresh)
    dataset = open_dataset(run.config)
    say(run, f"run directory {run.path}")
    with claim(run, fresh=fresh), RunLog(run.path) as log:
        for stage in stages:
            STAGES[stage](run, dataset, log)


def say(run: Run, text: str) -> None:
    """One line for a person, unless the run is quiet."""
    if not run.quiet:
        console.print(text, highlight=False, soft_wrap=True)


def _search(run: Run, dataset: Dataset, log: RunLog) -> None:
    from jaxnas.search.stage import search

    search(run, dataset, log)


def _derive(run: Run, dataset: Dataset, log: RunLog) -> None:
    from jaxnas.spaces.genotype import describe, load_genotype

    say(run, f"genotype {describe(load_genotype(run.genotype_path))}")


def _train(run: Run, dataset: Dataset, log: RunLog) -> None:
    from jaxnas.engine.training import train_all

    train_all(run, dataset, log)


def _evaluate(run: Run, dataset: Dataset, log: RunLog) -> None:
    from jaxnas.engine.comparison import compare

    compare(run, dataset)


def _report(run: Run, dataset: Dataset, log: RunLog) -> None:
    from jaxnas.report.html import write_report

    path = write_report(run.path)
    say(run, f"report {path}")


STAGES: dict[str, Callable[[Run, Dataset, RunLog], None]] = {
    "search": _search,
    "derive": _derive,
    "train": _train,
    "evaluate": _evaluate,
    "report": _report,
}
