"""`jaxnas segment`: a trained run applied to the user's own NIfTI volumes and cines."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.files import check_output_folder, write_json
from jaxnas.core.notices import tell, warn
from jaxnas.data.annotation import LabeledVolume
from jaxnas.data.files import NIFTI, find_files, has_suffix
from jaxnas.data.grid import VoxelGrid
from jaxnas.data.nifti import read_grid, read_voxels, spacing_remark, write_labels
from jaxnas.engine.networks import Choice
from jaxnas.engine.run import Run, open_run
from jaxnas.segmentation.apply import Predictor, data_of
from jaxnas.segmentation.dataset import open_preparation
from jaxnas.segmentation.timing import stream_summary
from jaxnas.stages.load import check_task, load_trained

LATENCY = "latency.json"


def segment_files(run_dir: Path, inputs: Sequence[Path], out: Path, choice: Choice) -> None:
    """Writes `out`/NAME with the labels of every input file, frame after frame of a cine.

    latency.json beside them tells how long the frames took, and how many would have been dropped
    at the config's frame rate. Every header is read before the first file is segmented.
    """
    check_output_folder(out)
    run = open_run(run_dir, quiet=True)
    predictor = load_predictor(run, choice)
    files = find_files(inputs, suffixes=NIFTI)
    _check_names(files, out)
    grids = {path: read_grid(path) for path in files}
    for path, grid in grids.items():
        predictor.preparation.check(str(path), grid.spacing)
    if remark := spacing_remark(grids):
        warn(remark)
    report = {}
    for path, grid in grids.items():
        target = out / path.name
        labels, latencies = [], []
        for frame in predictor.stream(_frames(path, grid)):
            labels.append(frame.labels)
            latencies.append(frame.latency)
        found = np.stack(labels) if len(grid.shape) == 4 else labels[0]
        write_labels(target, found, like=path)
        summary = stream_summary(latencies, fps=run.config.latency.min_fps)
        report[path.name] = summary
        total, dropped = summary["total"], summary["dropped"]
        tell(
            f"{target}: {summary['frames']} frames, {total['p50']:.1f} ms each (p99 "
            f"{total['p99']:.1f} ms), {dropped} dropped at {summary['target_fps']:g} FPS"
        )
    write_json(out / LATENCY, report)


def load_predictor(run: Run, choice: Choice) -> Predictor:
    """A trained network of a run; UserError where the run has no such, or more than one."""
    check_task(run, "segmentation", instead="; use jaxnas reconstruct")
    trained = load_trained(run, choice)
    preparation = open_preparation(data_of(run, trained.choice.client))
    return Predictor(trained.net, trained.variables, preparation)


def _frames(path: Path, grid: VoxelGrid) -> Iterator[LabeledVolume]:
    """The frames of a file one by one: a cine is never in memory as a whole."""
    numbers = range(grid.shape[0]) if len(grid.shape) == 4 else [None]
    for number in numbers:
        image = np.ascontiguousarray(read_voxels(path, grid, frame=number), np.float32)
        yield LabeledVolume(
            image, None, grid.spacing, grid.affine, path.name, path.name, f"frame{number}"
        )


def _check_names(files: Sequence[Path], out: Path) -> None:
    if any(path.parent.resolve() == out.resolve() for path in files):
        raise UserError(f"--out {out}: holds input files; choose another folder")
    for path in files:
        if not has_suffix(path, NIFTI):
            raise UserError(
                f"{path}: is no single NIfTI file; expected a name that ends with "
                f"{' or '.join(NIFTI)}, convert or rename it"
            )
    names = [path.name for path in files]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{name}: two input files have this name; segment them apart")
