"""What a run directory holds for a report: text, JSON, CSV and example images."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.core.files import read_json
from jaxnas.engine.logs import read_log

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


@dataclass(frozen=True)
class Example:
    """One slice at one acceleration: magnitudes (H, W) in target units, mask (W,) or None."""

    acceleration: float
    volume: str | None
    slice: int | None
    target: np.ndarray
    mask: np.ndarray | None
    images: dict[str, np.ndarray]


@dataclass(frozen=True)
class RunFiles:
    """The contents of a run directory; what is not there is None or empty and in `missing`."""

    path: Path
    config: str | None
    genotype: dict[str, Any] | None
    alphas: dict[str, Any] | None
    log: list[dict[str, Any]]
    metrics: dict[str, Any] | None
    slices: list[dict[str, str]]
    examples: list[Example]
    timings: dict[str, Any] | None
    missing: tuple[str, ...]


def read_run(run_dir: str | Path) -> RunFiles:
    """Reads whatever `run_dir` holds; a missing directory or a malformed file raises UserError."""
    path = Path(run_dir)
    if not path.is_dir():
        raise UserError(f"{path}: no such run directory; give the --workdir of a run")
    missing = tuple(name for name in FILES if not (path / name).is_file())

    def load(name: str, read: Any, default: Any = None) -> Any:
        return default if name in missing else read(path / name)

    return RunFiles(
        path=path,
        config=load("config.yaml", Path.read_text),
        genotype=load("genotype.json", read_json),
        alphas=load("alphas.json", read_json),
        log=load("log.jsonl", read_log, []),
        metrics=load("metrics.json", read_json),
        slices=load("slices.csv", _read_csv, []),
        examples=load("examples.npz", read_examples, []),
        timings=load("timings.json", read_json),
        missing=missing,
    )


def read_examples(path: str | Path) -> list[Example]:
    """The slices of `examples.npz`, by increasing acceleration, placed by `examples.json`."""
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
        _example(acceleration, arrays, places.get(acceleration, {}))
        for acceleration, arrays in sorted(groups.items())
        if "target" in arrays
    ]


def slice_scores(slices: list[dict[str, str]], example: Example) -> dict[str, tuple[float, float]]:
    """(PSNR in dB, SSIM) of every model on the example's slice, from the rows of `slices.csv`."""
    place = (example.volume, str(example.slice), example.acceleration)
    return {
        row["model"]: (float(row["psnr"]), float(row["ssim"]))
        for row in slices
        if (row["volume"], row["slice"], float(row["acceleration"])) == place
    }


def _example(acceleration: float, arrays: dict[str, np.ndarray], place: dict[str, Any]) -> Example:
    images = {name: x for name, x in arrays.items() if name not in ("target", "mask")}
    target, mask = arrays["target"], arrays.get("mask")
    return Example(acceleration, place.get("volume"), place.get("slice"), target, mask, images)


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
