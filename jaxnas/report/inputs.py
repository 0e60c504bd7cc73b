"""The content of a run directory for a report: text, JSON, CSV and example images."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from jaxnas.core.errors import UserError
from jaxnas.engine.logs import read_log
from jaxnas.engine.rundir import ArraysFile, JsonFile, RunDir, TableFile, TextFile
from jaxnas.report.names import EVERYONE, method_key
from jaxnas.report.overlays import Overlay, read_overlays
from jaxnas.report.selection import Selection, read_selection

# The files of a run, as `RunDir` calls them, and what they hold.
FILES = {
    "config": "the resolved configuration",
    "genotype": "the searched cell",
    "alphas": "the history of the architecture weights",
    "log": "losses and validation scores over the steps",
    "metrics": "the evaluation of every model",
    "slices": "the scores slice by slice",
    "examples": "example reconstructions",
    "timings": "compile and step times",
}
FEDERATED_FILES = {
    **{name: what for name, what in FILES.items() if name != "examples"},
    "log": "losses and validation scores over the rounds",
    "metrics": "the evaluation of every method at every client",
    "every_client": "example reconstructions of every client",
    "clients": "who takes part",
    "communication": "the bytes that clients sent and received",
    "timings": "compile and round times",
}
SELECTION_FILES = {"candidates": "the candidates of the selection and their scores"}
LATENCY_FILES = {
    "calibration": "the latency model against measured networks",
    "latency": "the latency of the searched network",
}
SEGMENTATION_FILES = {
    **{k: what for k, what in FILES.items() if k not in ("slices", "examples")},
    "genotype": "the searched cells and paths",
    "metrics": "the evaluation of every network",
    "volumes": "the scores volume by volume",
    "overlays": "example segmentations",
    "calibration": LATENCY_FILES["calibration"],
}


@dataclass(frozen=True)
class ExampleImage:
    """One slice at one acceleration: magnitudes (H, W) in target units, mask (W,) or
    (H, W), or None.

    `images` are by method; `client` is None in a run at one site.
    """

    acceleration: float
    volume: str | None
    slice: int | None
    target: np.ndarray
    mask: np.ndarray | None
    images: dict[str, np.ndarray]
    client: str | None = None


@dataclass(frozen=True)
class RunFiles:
    """The contents of a run directory; what is not there is None or empty and in `missing`.

    `task` is that of the run; `federated` says whether clients took part;
    `clients` are their names as far as any file knows them, and `expected` maps the files of such a
    run, as `RunDir` calls them, to what they hold.
    """

    path: Path
    task: str
    federated: bool
    clients: tuple[str, ...]
    config: str | None
    genotype: dict[str, Any] | None
    alphas: dict[str, Any] | None
    selection: Selection | None
    log: list[dict[str, Any]]
    metrics: dict[str, Any] | None
    slices: list[dict[str, str]]
    examples: list[ExampleImage]
    overlays: list[Overlay]
    calibration: dict[str, Any] | None
    latency: dict[str, Any] | None
    roster: list[dict[str, Any]]
    communication: dict[str, Any] | None
    timings: dict[str, Any] | None
    expected: dict[str, str]
    missing: tuple[str, ...]

    def file_name(self, entry: str) -> str:
        """The name of a file, as a person sees it in the run directory."""
        return RunDir(self.path).name(entry)


def read_run(run_dir: str | Path) -> RunFiles:
    """Reads whatever `run_dir` holds; a missing directory or a malformed file raises UserError."""
    path = Path(run_dir)
    if not path.is_dir():
        raise UserError(f"{path}: no such run directory; give the --workdir of a run")

    files = RunDir(path)

    def load(file: TextFile | JsonFile | TableFile, default: Any = None) -> Any:
        return file.read() if file.exists() else default

    config = load(files.config)
    log = read_log(files.log.path)
    metrics = load(files.metrics)
    pictures = _read_client_examples(files)
    communication = load(files.communication)
    roster = load(files.clients, [])
    rows = metrics["rows"] if metrics else []
    clients = _client_names(roster, rows, pictures, log)
    settings = _settings(config)
    federated = settings.get("federated") is not None or bool(clients or communication)
    found = (metrics or {}).get("task") or settings.get("task")
    task = found or ("segmentation" if _only_segmented(files) else "reconstruction")
    expected = _expected(task, federated, latency=settings.get("latency") is not None)
    if settings.get("select") is not None:
        expected |= SELECTION_FILES
        if "search" not in settings.get("stages", ("search",)):
            expected = {name: says for name, says in expected.items() if name != "alphas"}
    unit = "rounds" if federated else "steps"
    return RunFiles(
        path=path,
        task=task,
        federated=federated,
        clients=clients,
        config=config,
        genotype=files.genotype.read().to_json() if files.genotype.exists() else None,
        alphas=load(files.alphas),
        selection=read_selection(
            files.candidates, task=task, unit=unit, whole=_training_length(settings, federated)
        ),
        log=log,
        metrics=metrics,
        slices=load(files.slices, []),
        examples=pictures if federated else read_examples(files.examples),
        overlays=read_overlays(files.overlays),
        calibration=load(files.calibration),
        latency=load(files.latency),
        roster=roster,
        communication=communication,
        timings=load(files.timings),
        expected=expected,
        missing=tuple(name for name in expected if not getattr(files, name).exists()),
    )


def read_examples(file: ArraysFile, *, client: str | None = None) -> list[ExampleImage]:
    """The slices of a file of examples, by increasing acceleration; none without the file."""
    if not file.exists():
        return []
    known = file.places.read() if file.places.exists() else {}
    places = {float(acceleration): place for acceleration, place in known.items()}
    groups: dict[float, dict[str, np.ndarray]] = {}
    for key, array in file.read().items():
        acceleration, _, name = key.partition("/")
        groups.setdefault(float(acceleration), {})[name] = array
    return [
        _example(acceleration, arrays, places.get(acceleration, {}), client)
        for acceleration, arrays in sorted(groups.items())
        if "target" in arrays
    ]


def slice_scores(
    slices: list[dict[str, str]], example: ExampleImage
) -> dict[str, tuple[float, float]]:
    """(PSNR in dB, SSIM) of every method on the example's slice, from the rows of `slices.csv`."""
    place = (example.client, example.volume, str(example.slice), example.acceleration)
    return {
        method_key(row): (float(row["psnr"]), float(row["ssim"]))
        for row in slices
        if (row.get("client"), row["volume"], row["slice"], float(row["acceleration"])) == place
    }


def _example(
    acceleration: float, arrays: dict[str, np.ndarray], place: dict[str, Any], client: str | None
) -> ExampleImage:
    images = {name: x for name, x in arrays.items() if name not in ("target", "mask")}
    volume, number = place.get("volume"), place.get("slice")
    return ExampleImage(
        acceleration, volume, number, arrays["target"], arrays.get("mask"), images, client
    )


def _read_client_examples(files: RunDir) -> list[ExampleImage]:
    clients = sorted(path.stem for path in files.every_client.path.glob("*.npz"))
    return [
        example
        for client in clients
        for example in read_examples(files.client_examples(client), client=client)
    ]


def _client_names(
    roster: Iterable[dict[str, Any]],
    rows: Iterable[dict[str, Any]],
    examples: Iterable[ExampleImage],
    log: Iterable[dict[str, Any]],
) -> tuple[str, ...]:
    """The clients in the order of the run, or else as the other files come across them."""
    listed = [client["name"] for client in roster]
    evaluated = [row["client"] for row in rows if row.get("client", EVERYONE) != EVERYONE]
    pictured = [example.client for example in examples if example.client is not None]
    logged = [name.partition("/")[2] for row in log for name in row if "/" in name]
    return tuple(dict.fromkeys([*listed, *evaluated, *pictured, *logged]))


def _settings(config: str | None) -> dict[str, Any]:
    """The resolved configuration; an unreadable one says nothing."""
    try:
        values = yaml.safe_load(config or "")
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def _training_length(settings: dict[str, Any], federated: bool) -> int | None:
    """The rounds or steps of a whole training; None where it is counted in epochs."""
    section, key = ("federated", "rounds") if federated else ("train", "steps")
    found = (settings.get(section) or {}).get(key)
    return found if isinstance(found, int) else None


def _only_segmented(files: RunDir) -> bool:
    """True if there is a file that only segmentation runs have."""
    own = SEGMENTATION_FILES.keys() - FILES.keys()
    return any(getattr(files, name).exists() for name in own)


def _expected(task: str, federated: bool, *, latency: bool) -> dict[str, str]:
    """The files of such a run, and what they hold; `latency`: whether one was asked for."""
    if task == "segmentation":
        shared = ("clients", "communication") if federated else ()
        return SEGMENTATION_FILES | {name: FEDERATED_FILES[name] for name in shared}
    if task != "reconstruction":
        found = FEDERATED_FILES if federated else FILES
        own = ("slices", "examples", "every_client")
        return {name: what for name, what in found.items() if name not in own}
    return (FEDERATED_FILES if federated else FILES) | (LATENCY_FILES if latency else {})
