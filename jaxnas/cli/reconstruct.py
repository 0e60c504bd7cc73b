"""`jaxnas reconstruct`: a trained run applied to the user's own HDF5 files."""

import io
from collections.abc import Sequence
from pathlib import Path

import h5py
from rich.console import Console

from jaxnas.cli.trained import (
    Choice,
    check_alone,
    check_known,
    check_reconstruction,
    load_trained,
)
from jaxnas.core.errors import UserError
from jaxnas.core.files import write_atomic
from jaxnas.core.schema import AcquisitionConfig
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.files import find_files
from jaxnas.data.views import Calibrated
from jaxnas.data.volumes import open_volume
from jaxnas.engine.apply import reconstruct_volume
from jaxnas.engine.evaluate import (
    Reconstructor,
    classical_reconstructors,
    network_reconstructor,
)
from jaxnas.engine.rundir import Run, open_run
from jaxnas.engine.training import model_names
from jaxnas.models.networks import check_coils


def reconstruct(
    run_dir: Path,
    inputs: Sequence[Path],
    out: Path,
    choice: Choice,
    *,
    acceleration: float | None,
) -> None:
    """Writes `out`/NAME with the dataset `reconstruction` (S, h, w) float32 for every input file.

    Every file is opened and checked before the first one is reconstructed.
    """
    run = open_run(run_dir, quiet=True)
    check_reconstruction(run)
    method, acquisition = _method(run, choice)
    volumes = [open_volume(path) for path in find_files(inputs)]
    for volume in volumes:
        check_coils(run.config.network, volume.coils, where=str(volume.path))
    if any(volume.path.parent.resolve() == out.resolve() for volume in volumes):
        raise UserError(f"--out {out}: holds input files; choose another folder")
    console = Console(stderr=True)
    for volume in volumes:
        source = Calibrated(FastMRISource(volume.path), fraction=min(acquisition.center_fractions))
        images = reconstruct_volume(method, volume, source, acquisition, acceleration=acceleration)
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file["reconstruction"] = images
            file["reconstruction"].attrs.update(choice.to_json())
        path = write_atomic(out / volume.name, buffer.getvalue())
        console.print(f"{path}: reconstruction {images.shape}", highlight=False, soft_wrap=True)


def _method(run: Run, choice: Choice) -> tuple[Reconstructor, AcquisitionConfig]:
    """What reconstructs, a trained network or a classical method, and the acquisition it is for."""
    classical = classical_reconstructors(run.config.evaluate)
    if choice.model in classical:
        check_alone(choice, "is not trained")
        return classical[choice.model], run.config.acquisition
    check_known("--model", choice.model, [*model_names(run.config), *classical])
    net, params, acquisition = load_trained(run, choice)
    return network_reconstructor(net, params), acquisition
