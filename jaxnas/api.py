"""The library of a notebook: search, train, evaluate, and trained networks on arrays.

A config is a YAML file, a mapping of its sections, or an `Experiment`; all stages write to a run
directory, and go on from what is there, exactly as the command line does.

>>> import tempfile
>>> import jaxnas
>>> tiny = {
...     "data": {"synthetic": {"volumes": 5, "slices": 2, "size": [16, 16]}},
...     "acquisition": {"accelerations": [2], "center_fractions": [0.2]},
...     "network": {"channels": 2, "cells": 1, "nodes": 1, "cascades": 1},
...     "search": {"steps": 2},
...     "train": {"steps": 2},
... }
>>> run = jaxnas.search(tiny, workdir=tempfile.mkdtemp())
>>> run = jaxnas.train(run)
>>> rows = jaxnas.evaluate(run)
>>> [row["model"] for row in rows if row["acceleration"] == "all"]
['zero_filled', 'tv', 'derived']
"""

from collections.abc import Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np

from jaxnas.core.config import load_config, make_config
from jaxnas.core.errors import UserError
from jaxnas.core.identity import fingerprint
from jaxnas.core.sections import Experiment
from jaxnas.data.annotation import LabeledSource, LabeledVolume
from jaxnas.data.memory import Arrays
from jaxnas.data.named import with_labels
from jaxnas.data.registry import MEMORY
from jaxnas.data.source import Source
from jaxnas.data.views import Calibrated
from jaxnas.engine.networks import Choice
from jaxnas.engine.run import Run, open_run
from jaxnas.reconstruction.apply import Compiled, reconstruct_slices
from jaxnas.reconstruction.deploy import Applied, acquisition_of, deploy
from jaxnas.reconstruction.source import common_center
from jaxnas.segmentation.apply import Predictor, data_of
from jaxnas.segmentation.dataset import open_preparation
from jaxnas.stages.load import load_trained
from jaxnas.stages.run import named_stages, run_stages, task_kind

Configured = str | Path | Mapping[str, Any] | Experiment | Run
Data = Source | LabeledSource


def search(
    config: Configured,
    *,
    data: Data | None = None,
    workdir: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Run:
    """Searches an architecture and derives its genotype; returns the run.

    `data` takes the place of the files that the config names, `workdir` is the run directory (by
    default as on the command line), `overrides` are `a.b=value`. UserError for whatever the command
    line refuses.

    >>> import tempfile
    >>> import jaxnas
    >>> tiny = {
    ...     "data": {"synthetic": {"volumes": 5, "slices": 2, "size": [16, 16]}},
    ...     "network": {"channels": 2, "cells": 1, "nodes": 1, "cascades": 1},
    ... }
    >>> run = jaxnas.search(tiny, overrides=["search.steps=2"], workdir=tempfile.mkdtemp())
    >>> run.dir.genotype.read().space
    'csmri_a'
    """
    return _staged(config, "search", data, workdir, overrides)


def train(
    config: Configured,
    *,
    data: Data | None = None,
    workdir: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Run:
    """Trains the networks of a config, or of the run of a search; arguments as in `search`.

    >>> import tempfile
    >>> import jaxnas
    >>> tiny = {
    ...     "data": {"synthetic": {"volumes": 5, "slices": 2, "size": [16, 16]}},
    ...     "network": {"channels": 2, "cells": 1, "nodes": 1, "cascades": 1},
    ...     "train": {"models": ["dccnn"], "steps": 2},
    ... }
    >>> run = jaxnas.train(tiny, workdir=tempfile.mkdtemp())
    >>> run.dir.log.exists()
    True
    """
    return _staged(config, "train", data, workdir, overrides)


def evaluate(config: Configured, *, data: Data | None = None) -> list[dict[str, Any]]:
    """Evaluates the trained networks of a run on its test data; returns the rows of metrics.json.

    The module docstring of `jaxnas.api` has an example of the whole way.

    >>> import jaxnas
    >>> jaxnas.evaluate("nowhere.yaml")
    Traceback (most recent call last):
    jaxnas.core.errors.UserError: nowhere.yaml: no such file
    """
    run = _staged(config, "evaluate", data, None, ())
    return run.dir.metrics.read()["rows"]


def load(
    run: str | Path | Run,
    *,
    model: str | None = None,
    strategy: str | None = None,
    client: str | None = None,
    fold: int | None = None,
) -> "Reconstructor | Segmenter":
    """A trained network of a run as a function of arrays, in its deployed form.

    `model` may be left out where the run has one network; `strategy`, `client` and `fold` as on the
    command line. UserError where there is no such network, or more than one.

    >>> import jaxnas
    >>> jaxnas.load("nowhere")
    Traceback (most recent call last):
    jaxnas.core.errors.UserError: nowhere: no such file
    """
    run = run if isinstance(run, Run) else open_run(Path(run), quiet=True)
    trained = load_trained(run, Choice(model, strategy, client, fold))
    if run.config.task == "segmentation":
        preparation = open_preparation(data_of(run, trained.choice.client))
        return Segmenter(Predictor(trained.net, trained.variables, preparation))
    if run.config.task == "reconstruction":
        acquisition = acquisition_of(run, trained.choice.client)
        return Reconstructor(deploy(Applied(trained.net, trained.variables["params"], acquisition)))
    raise UserError(
        f"{run.path}: is a run of task {run.config.task}; expected reconstruction or segmentation, "
        f"use jaxnas.stages.load for the network itself"
    )


class Reconstructor:
    """A trained network that makes magnitude images of undersampled k-space.

    >>> import tempfile
    >>> import numpy as np
    >>> import jaxnas
    >>> tiny = {
    ...     "data": {"synthetic": {"volumes": 5, "slices": 2, "size": [16, 16]}},
    ...     "network": {"channels": 2, "cells": 1, "nodes": 1, "cascades": 1},
    ...     "train": {"models": ["dccnn"], "steps": 2},
    ... }
    >>> reconstruct = jaxnas.load(jaxnas.train(tiny, workdir=tempfile.mkdtemp()))
    >>> rng = np.random.default_rng(0)
    >>> kspace = rng.normal(size=(3, 16, 16)) + 1j * rng.normal(size=(3, 16, 16))
    >>> reconstruct(kspace, np.arange(16) % 2 == 0).shape
    (3, 16, 16)
    """

    def __init__(self, applied: Applied) -> None:
        self.acquisition = applied.acquisition
        self._compiled = Compiled(applied.reconstructor(), peak=applied.acquisition.peak)

    def __call__(
        self,
        kspace: np.ndarray,
        mask: np.ndarray | None = None,
        *,
        sens: np.ndarray | None = None,
        batch: int = 1,
    ) -> np.ndarray:
        """The magnitudes float32 (S, H, W), in the units of `kspace`; (H, W) for (H, W).

        `kspace` is complex (H, W), (S, H, W), or (S, C, H, W) of several coils: centred, unitary.
        `mask` says what was sampled, (W,) or (H, W); None reads it off the zeros. Coil
        sensitivities (C, H, W) are estimated from the centre where `sens` is not given. Slices run
        `batch` at a time. UserError for k-space that is fully sampled, or not finite.
        """
        kspace = np.asarray(kspace)
        single = kspace.ndim == 2
        volume = "kspace"
        source: Source = Arrays(
            {volume: kspace[None] if single else kspace},
            sens=None if sens is None else {volume: sens},
            masks=None if mask is None else {volume: mask},
        )
        if mask is None and not any(source.read(i).mask is not None for i in _all(source)):
            raise UserError(
                "kspace is fully sampled, there is nothing to reconstruct; give the mask to "
                "undersample it by"
            )
        center = common_center(self.acquisition)
        source = Calibrated(source, fraction=center.fraction, points=center.points)
        images = reconstruct_slices(
            self._compiled, source, self.acquisition, size=kspace.shape[-2:], batch=batch
        )
        found = np.stack([np.asarray(image) for image in images])
        return found[0] if single else found


class Segmenter:
    """A trained network that finds labels in images.

    >>> import tempfile
    >>> import numpy as np
    >>> import jaxnas
    >>> tiny = {
    ...     "task": "segmentation",
    ...     "data": {"heart": {"patients": 5, "slices": 2, "frames": 2, "size": [32, 32]},
    ...              "size": [32, 32]},
    ...     "network": {"layers": 2, "scales": 2, "unet_channels": 2},
    ...     "train": {"models": ["unet2d"], "steps": 1, "batch": 2, "statistics": 1},
    ... }
    >>> segment = jaxnas.load(jaxnas.train(tiny, workdir=tempfile.mkdtemp()))
    >>> segment(np.random.default_rng(0).random((2, 40, 36)), spacing=(8, 1.5, 1.5)).shape
    (2, 40, 36)
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def __call__(
        self, volume: np.ndarray, *, spacing: tuple[float, float, float] | None = None
    ) -> np.ndarray:
        """The labels uint8 of a volume (Z, H, W), or a slice (H, W), on its own grid.

        `spacing` (dz, dy, dx) in mm is that of its voxels; UserError where the network resamples
        and it is not given.
        """
        image = np.asarray(volume, np.float32)
        single = image.ndim == 2
        image = image[None] if single else image
        if image.ndim != 3 or not np.isfinite(image).all():
            raise UserError(
                f"volume of shape {np.shape(volume)}: expected finite numbers (Z, H, W) or (H, W)"
            )
        if spacing is None and self._predictor.preparation.spacing is not None:
            raise UserError(
                f"spacing is missing: the network sees pixels of "
                f"{self._predictor.preparation.spacing:g} mm; give (dz, dy, dx) of the volume in mm"
            )
        frame = LabeledVolume(image, None, spacing or (1.0, 1.0, 1.0), None, "volume", "", "frame")
        labels = self._predictor.segment(frame)
        return labels[0] if single else labels


def _all(source: Source) -> range:
    return range(len(source.slices))


def _staged(
    config: Configured,
    command: str,
    data: Data | None,
    workdir: str | Path | None,
    overrides: Sequence[str],
) -> Run:
    """The run of a config after the stages of a command."""
    run = _run_of(config, data, workdir, overrides)
    opener = None if data is None else task_kind(run.config).data.holding(data)
    run_stages(run, named_stages(run, command), fresh=False, data=opener)
    return run


def _run_of(
    config: Configured,
    data: Data | None,
    workdir: str | Path | None,
    overrides: Sequence[str],
) -> Run:
    if isinstance(config, Run):
        return config
    if data is not None:
        overrides = (*overrides, f"data.source={MEMORY}")
        if isinstance(data, LabeledSource):
            overrides = (*overrides, f"data.labels={dumps(data.labels)}")
    if isinstance(config, str | Path):
        path = None if workdir is None else Path(workdir)
        return open_run(Path(config), overrides=overrides, workdir=path, quiet=True)
    values = config.model_dump(mode="json") if isinstance(config, Experiment) else config
    made = with_labels(make_config(values, overrides=overrides))
    made = made if made.name else made.model_copy(update={"name": "run"})
    path = Path(workdir) if workdir else Path("runs") / f"{made.name}-{fingerprint(made)}"
    return Run(made, path.resolve(), quiet=True)


__all__ = [
    "Arrays",
    "Reconstructor",
    "Segmenter",
    "evaluate",
    "load",
    "load_config",
    "make_config",
    "search",
    "train",
]
