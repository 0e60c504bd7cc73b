"""What a run directory holds for a report: text, JSON, CSV and example images."""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import yaml

from jaxnas.core.errors import UserError
from jaxnas.core.files import read_json
from jaxnas.engine.logs import read_log
from jaxnas.report.names import EVERYONE, method_key
from jaxnas.report.overlays import Overlay, read_overlays

FILES = {
    "config.yaml": "the resolved configuration",
    "genotype.json": "the searched cell",
    "alphas.json": "the history of the architecture weights",
    "log.jsonl": "losses and validation scores over the steps",
    "metrics.json": "the evaluation of every model",
    "slices.csv": "the scores slice by slice",
    "examples.npz": "example reconstructions",
    "timings.json": "compile and step times",
}
FEDERATED_FILES = {
    **{name: what for name, what in FILES.items() if name != "examples.npz"},
    "log.jsonl": "losses and validation scores over the rounds",
    "metrics.json": "the evaluation of every method at every client",
    "examples": "example reconstructions of every client",
    "clients.json": "who takes part",
    "communication.json": "the bytes that clients sent and received",
    "timings.json": "compile and round times",
}
LATENCY_FILES = {
    "calibration.json": "the latency model against measured networks",
    "latency.json": "the latency of the searched network",
}
SEGMENTATION_FILES = {
    **{k: what for k, what in FILES.items() if k not in ("slices.csv", "examples.npz")},
    "genotype.json": "the searched cells and paths",
    "metrics.json": "the evaluation of every network",
    "volumes.csv": "the scores volume by volume",
    "overlays.npz": "example segmentations",
    "calibration.json": LATENCY_FILES["calibration.json"],
}


@dataclass(frozen=True)
class Example:
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

    `task` is "reconstruction" or "segmentation"; `federated` says whether clients took part;
    `clients` are their names as far as any file knows them, and `expected` maps the files of such a
    run to what they hold.
    """

    path: Path
    task: str
    federated: bool
    clients: tuple[str, ...]
    config: str | None
    genotype: dict[str, Any] | None
    alphas: dict[str, Any] | None
    log: list[dict[str, Any]]
    metrics: dict[str, Any] | None
    slices: list[dict[str, str]]
    examples: list[Example]
    overlays: list[Overlay]
    calibration: dict[str, Any] | None
    latency: dict[str, Any] | None
    roster: list[dict[str, Any]]
    communication: dict[str, Any] | None
    timings: dict[str, Any] | None
    expected: dict[str, str]
    missing: tuple[str, ...]


def read_run(run_dir: str | Path) -> RunFiles:
    """Reads whatever `run_dir` holds; a missing directory or a malformed file raises UserError."""
    path = Path(run_dir)
    if not path.is_dir():
        raise UserError(f"{path}: no such run directory; give the --workdir of a run")

    def load(name: str, read: Callable[[Path], Any], default: Any = None) -> Any:
        return read(path / name) if (path / name).exists() else default

    config = load("config.yaml", Path.read_text)
    log = load("log.jsonl", read_log, [])
    metrics = load("metrics.json", read_json)
    pictures = load("examples", _read_client_examples, [])
    communication = load("communication.json", read_json)
    roster = load("clients.json", read_json, [])
    rows = metrics["rows"] if metrics else []
    clients = _client_names(roster, rows, pictures, log)
    settings = _settings(config)
    federated = settings.get("federated") is not None or bool(clients or communication)
    found = (metrics or {}).get("task") or settings.get("task")
    task = found or ("segmentation" if _only_segmented(path) else "reconstruction")
    expected = _expected(task, federated, latency=settings.get("latency") is not None)
    return RunFiles(
        path=path,
        task=task,
        federated=federated,
        clients=clients,
        config=config,
        genotype=load("genotype.json", read_json),
        alphas=load("alphas.json", read_json),
        log=log,
        metrics=metrics,
        slices=load("slices.csv", _read_csv, []),
        examples=pictures if federated else load("examples.npz", read_examples, []),
        overlays=load("overlays.npz", read_overlays, []),
        calibration=load("calibration.json", read_json),
        latency=load("latency.json", read_json),
        roster=roster,
        communication=communication,
        timings=load("timings.json", read_json),
        expected=expected,
        missing=tuple(name for name in expected if not (path / name).exists()),
    )


def read_examples(path: str | Path, *, client: str | None = None) -> list[Example]:
    """The slices of an `.npz` of examples, by increasing acceleration, placed by its `.json`."""
    path = Path(path)
    names = path.with_suffix(".json")
    places = {float(k): v for k, v in (read_json(names) if names.is_file() else {}).items()}
    groups: dict[float, dict[str, np.ndarray]] = {}
    try:
        with path.open("rb") as handle, np.load(handle) as file:
            for key in file.files:
                acceleration, _, name = key.partition("/")
                groups.setdefault(float(acceleration), {})[name] = file[key]
    except (OSError, ValueError, BadZipFile) as error:
        raise UserError(
            f"{path}: not a readable file of examples ({error}); evaluate the run again"
        ) from None
    return [
        _example(acceleration, arrays, places.get(acceleration, {}), client)
        for acceleration, arrays in sorted(groups.items())
        if "target" in arrays
    ]


def slice_scores(slices: list[dict[str, str]], example: Example) -> dict[str, tuple[float, float]]:
    """(PSNR in dB, SSIM) of every method on the example's slice, from the rows of `slices.csv`."""
    place = (example.client, example.volume, str(example.slice), example.acceleration)
    return {
        method_key(row): (float(row["psnr"]), float(row["ssim"]))
        for row in slices
        if (row.get("client"), row["volume"], row["slice"], float(row["acceleration"])) == place
    }


def _example(
    acceleration: float, arrays: dict[str, np.ndarray], place: dict[str, Any], client: str | None
) -> Example:
    images = {name: x for name, x in arrays.items() if name not in ("target", "mask")}
    volume, number = place.get("volume"), place.get("slice")
    return Example(
        acceleration, volume, number, arrays["target"], arrays.get("mask"), images, client
    )


def _read_client_examples(folder: Path) -> list[Example]:
    files = sorted(folder.glob("*.npz"))
    return [example for file in files for example in read_examples(file, client=file.stem)]


def _client_names(
    roster: Iterable[dict[str, Any]],
    rows: Iterable[dict[str, Any]],
    examples: Iterable[Example],
    log: Iterable[dict[str, Any]],
) -> tuple[str, ...]:
    """The clients in the order of the run, or else as the other files come across them."""
    listed = [client["name"] for client in roster]
    evaluated = [row["client"] for row in rows if row.get("client", EVERYONE) != EVERYONE]
    pictured = [example.client for example in examples]
    logged = [name.partition("/")[2] for row in log for name in row if "/" in name]
    return tuple(dict.fromkeys([*listed, *evaluated, *pictured, *logged]))


def _settings(config: str | None) -> dict[str, Any]:
    """The resolved configuration; an unreadable one says nothing."""
    try:
        values = yaml.safe_load(config or "")
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def _only_segmented(path: Path) -> bool:
    """Whether there is a file that only segmentation runs have."""
    own = SEGMENTATION_FILES.keys() - FILES.keys()
    return any((path / name).exists() for name in own)


def _expected(task: str, federated: bool, *, latency: bool) -> dict[str, str]:
    """The files of such a run, and what they hold; `latency`: whether one was asked for."""
    if task == "segmentation":
        shared = ("clients.json", "communication.json") if federated else ()
        return SEGMENTATION_FILES | {name: FEDERATED_FILES[name] for name in shared}
    return (FEDERATED_FILES if federated else FILES) | (LATENCY_FILES if latency else {})


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
