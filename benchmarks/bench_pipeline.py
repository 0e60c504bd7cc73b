"""The device's wait for data, as a share of a step: fastMRI files of 320², read, decoded, masked.

`jaxnas train` of the network of configs/nas_csmri/train.yaml on synthetic volumes on disk; the
share is that of the run's own clock, in which the device's work is waited for inside the step.
There is no peer.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.rows import Row
from benchmarks.suite import PLATFORM, SUITE

CONFIGS = Path(__file__).parent.parent / "configs" / "nas_csmri"
VOLUMES, SLICES = 4, 8
STEPS, BATCH = {"cpu": (6, 1), "gpu": (200, 4)}[SUITE]


def measure(folder: Path) -> Iterator[Row]:
    """The share of the steady time that went into waiting."""
    from jaxnas.engine.rundir import RunDir

    data, run = folder / "data", folder / "run"
    jaxnas("data", "make", "--out", data, "--volumes", VOLUMES, "--slices", SLICES)
    overrides = {
        "data.path": data,
        "data.split.valid_fraction": 0,
        "train.epochs": "null",
        "train.steps": STEPS,
        "train.batch": BATCH,
        "checkpoint_every": STEPS,
        "log_every": STEPS,
    }
    options = [part for name, x in overrides.items() for part in ("--set", f"{name}={x}")]
    genotype = CONFIGS / "genotype_siat.json"
    jaxnas(
        *("train", CONFIGS / "train.yaml", "--genotype", genotype, "--workdir", run, "--quiet"),
        *options,
    )
    (timing,) = RunDir(run).timings.read().values()
    note = f"{timing['steps']} steps of {timing['step_ms']:.0f} ms, batch {BATCH}; no peer"
    yield Row("pipeline/wait", "of a step", timing["data_share"], note=note)


def jaxnas(*arguments: object) -> None:
    """Runs the command line; RuntimeError with its last words if it fails."""
    command = [sys.executable, "-m", "jaxnas", *map(str, arguments)]
    environment = os.environ | {"JAX_PLATFORMS": PLATFORM}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{arguments[0]}: {done.stderr.strip().splitlines()[-1:]}")


CASES = (Case(("pipeline/wait",), measure),)
