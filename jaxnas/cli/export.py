"""`jaxnas export`: a trained network as one file that runs without this library."""

from pathlib import Path

from jaxnas.core.files import check_output_file
from jaxnas.engine.networks import DERIVED, Choice, model_names, write_artefact
from jaxnas.engine.run import open_run
from jaxnas.stages.load import load_trained
from jaxnas.stages.run import task_kind


def export_run(run_dir: Path, out: Path, choice: Choice) -> None:
    """Writes the network `choice`, by default the derived or the only one, and its side-car."""
    check_output_file(out)
    run = open_run(run_dir, quiet=True)
    if choice.model is None and DERIVED in model_names(run.config):
        choice = choice._replace(model=DERIVED)
    write_artefact(out, task_kind(run.config).artefact(run, load_trained(run, choice)))
