"""The stages of a run, in order: search → derive → train → evaluate → report."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from jaxnas.engine.logs import RunLog
from jaxnas.engine.rundir import Run, exclusive, open_run
from jaxnas.engine.sources import Dataset, open_dataset

console = Console(stderr=True)


def open_target(
    target: Path, *, overrides: Sequence[str], workdir: Path | None, fresh: bool, quiet: bool
) -> Run:
    """The run of a config or a run directory; says where it lives."""
    run = open_run(target, overrides=overrides, workdir=workdir, fresh=fresh, quiet=quiet)
    say(run, f"run directory {run.path}")
    return run


def named_stages(run: Run, command: str) -> tuple[str, ...]:
    """What a command does: `run` the config's stages, every other one its own."""
    if command == "run":
        return run.config.stages
    return ("search", "derive") if command == "search" else (command,)


def run_stages(run: Run, stages: Sequence[str]) -> None:
    """Runs stages in order in one process; each starts from what is on disk."""
    with exclusive(run), RunLog(run.path) as log:
        dataset = open_dataset(run.config)
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
