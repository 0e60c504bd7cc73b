"""`jaxnas reconstruct`: a trained run applied to the user's own HDF5 files."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jaxnas.core.errors import UserError
from jaxnas.core.files import check_output_folder
from jaxnas.core.notices import tell
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.files import find_files
from jaxnas.data.hdf5 import new_file
from jaxnas.data.views import Calibrated
from jaxnas.engine.networks import Choice, Trained, model_names
from jaxnas.engine.run import Run, open_run
from jaxnas.reconstruction.apply import Compiled, check_applicable, image_size, reconstruct_slices
from jaxnas.reconstruction.deploy import Applied, acquisition_of, deploy_in
from jaxnas.reconstruction.networks import check_coils
from jaxnas.reconstruction.scoring import (
    classical_reconstructors,
)
from jaxnas.reconstruction.source import KspaceData, common_center
from jaxnas.stages.load import (
    check_alone,
    check_known,
    check_task,
    load_trained,
)
from jaxnas.stages.run import open_cohort


def reconstruct_files(
    run_dir: Path,
    inputs: Sequence[Path],
    out: Path,
    choice: Choice,
    *,
    acceleration: float | None,
    precision: str | None,
    origin: str | None,
) -> None:
    """Writes `out`/NAME with the dataset `reconstruction` (S, h, w) float32 for every input file.

    Every file is opened and checked before the first one is reconstructed. Slices are computed
    `evaluate.batch` at a time; a file is whole or absent.
    """
    check_output_folder(out)
    run = open_run(run_dir, quiet=True)
    check_task(
        run,
        "reconstruction",
        instead=", its networks make no image out of k-space; use jaxnas segment",
    )
    trained = _trained(run, choice, precision)
    stored: str = origin or run.config.data.origin
    sources = [FastMRISource(path, origin=stored) for path in find_files(inputs)]
    volumes = [source.volumes[0] for source in sources]
    for volume in volumes:
        check_coils(run.config.network, volume.coils, where=str(volume.path))
    if any(volume.path.parent.resolve() == out.resolve() for volume in volumes):
        raise UserError(f"--out {out}: holds input files; choose another folder")
    if trained is None:
        method = classical_reconstructors(run.config.evaluate)[choice.named]
        acquisition = run.config.acquisition
    else:
        acquisition = acquisition_of(run, choice.client)
        applied = deploy_in(
            run,
            choice.named,
            Applied(trained.net, trained.variables["params"], acquisition),
            precision=precision,
            open_cohort=partial(open_cohort, run.config, KspaceData()),
            client=choice.client,
            log=tell,
        )
        method = applied.reconstructor()
    for source in sources:
        check_applicable(source, acquisition, acceleration=acceleration)
    compiled, center = Compiled(method, peak=acquisition.peak), common_center(acquisition)
    for volume, source in zip(volumes, sources):
        source = Calibrated(source, fraction=center.fraction, points=center.points)
        compiled_s, start = compiled.compile_s, time.perf_counter()
        images = reconstruct_slices(
            compiled,
            source,
            acquisition,
            size=image_size(volume),
            acceleration=acceleration,
            batch=run.config.evaluate.batch,
        )
        with new_file(out / volume.name) as file:
            shape = (volume.slices, *image_size(volume))
            dataset = file.create_dataset("reconstruction", shape, "float32")
            dataset.attrs.update(choice.to_json())
            for i, image in enumerate(images):
                dataset[i] = image
        compiled_s = compiled.compile_s - compiled_s
        rate = volume.slices / (time.perf_counter() - start - compiled_s)
        tell(
            f"{out / volume.name}: reconstruction {shape}, {rate:.3g} slices/s, compiled in "
            f"{compiled_s:.1f} s"
        )


def _trained(run: Run, choice: Choice, precision: str | None) -> Trained | None:
    """The trained network that is asked for; None where it is a classical method."""
    classical = classical_reconstructors(run.config.evaluate)
    if choice.model in classical:
        check_alone(choice, "is not trained")
        if precision is not None:
            raise UserError(f"--precision {precision}: {choice.model} is no network; leave it out")
        return None
    check_known("--model", choice.model, [*model_names(run.config), *classical])
    return load_trained(run, choice)
