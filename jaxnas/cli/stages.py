"""The stages of a run, in order: search → derive → train → evaluate → report."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from jaxnas.core.errors import UserError
from jaxnas.engine.inputs import check_inputs, describe_inputs, keep_inputs
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.run import Run, check_directory, claim


def named_stages(run: Run, command: str) -> tuple[str, ...]:
    """The stages of a command: the config's for `run`, its own for every other one."""
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
    setting = _setting(run)
    functions = {
        "search": setting.search,
        "derive": setting.derive,
        "train": setting.train,
        "evaluate": setting.evaluate,
        "report": _report,
    }
    data = setting.prepare(run, stages, fresh)
    inputs = describe_inputs(setting.held(data), run.config.latency and run.config.latency.table)
    if not fresh:
        check_inputs(run.dir.inputs, inputs)
    run.log(f"run directory {run.path}")
    with claim(run, fresh=fresh), MetricWriter(run.path) as writer:
        keep_inputs(run.dir.inputs, inputs)
        for stage in stages:
            functions[stage](run, data, writer)


def _setting(run: Run) -> ModuleType:
    """The setting of a run, by its task and where its data is: a module with a function for every
    stage, `prepare`, and `held`, the volumes of what that returns."""
    segments, central = run.config.task == "segmentation", run.config.federated is None
    if segments and central:
        from jaxnas.cli import segmentation as setting
    elif segments:
        from jaxnas.cli import federated_segmentation as setting
    elif central:
        from jaxnas.cli import central as setting
    else:
        from jaxnas.cli import federated as setting
    return setting


def _report(run: Run, data: Any, writer: MetricWriter) -> None:
    from jaxnas.report.html import write_report

    run.log(f"report {write_report(run.path)}")
