"""The time from the start of the process to the end of the first search step of the quickstart.

`jaxnas search configs/quickstart.yaml`, logging every step; the clock stops when the first line is
in the log. Cold: an empty cache folder, so nothing is compiled and the device was never measured.
Warm: what a run before it has kept. There is no peer. A user of the quickstart has what the first
line of the README installs; JAXNAS_QUICKSTART_PYTHON names the Python of such an environment. In
that of the suite, which is used without it, TensorBoard's writer also imports PyTorch.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.rows import Row
from benchmarks.suite import PLATFORM

CONFIG = Path(__file__).parent.parent / "configs" / "quickstart.yaml"
REPEATS, WITHIN_S = 3, 150
POLL_S = 0.01
PYTHON = os.environ.get("JAXNAS_QUICKSTART_PYTHON", sys.executable)


def first_step(folder: Path, cache: Path) -> float:
    """Seconds to the first step; RuntimeError if it ends before, or takes too long."""
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    command = [PYTHON, "-m", "jaxnas", "search", str(CONFIG), "--workdir", str(run)]
    command += ["--set", "search.check_every=1", "--set", "log_every=1", "--quiet"]
    hindering = ("JAX_", "PYTHON")  # such as PYTHONPATH, and what forbids to keep bytecode
    environment = {n: x for n, x in os.environ.items() if not n.startswith(hindering)}
    environment |= {"XDG_CACHE_HOME": str(cache), "JAX_PLATFORMS": PLATFORM}
    log, began = run / "log.jsonl", time.perf_counter()
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,  # not where the sources of another version are
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        while not (log.exists() and log.stat().st_size):
            if process.poll() is not None or time.perf_counter() - began > WITHIN_S:
                raise RuntimeError(f"no step within {WITHIN_S} s: {(folder / 'said').read_text()}")
            time.sleep(POLL_S)
        return time.perf_counter() - began
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def measure(folder: Path) -> Iterator[Row]:
    """Cold starts, each with a cache of its own, then warm ones with the last cache."""
    caches = [folder / f"cache{n}" for n in range(REPEATS)]
    yield row("cold/quickstart", [first_step(folder, cache) for cache in caches])
    warm = [first_step(folder, caches[-1]) for _ in range(REPEATS)]
    yield row("cold/quickstart_warm", warm)


def row(name: str, seconds: list[float]) -> Row:
    """The median, and all of them."""
    every = ", ".join(f"{s:.1f}" for s in seconds)
    where = "the suite's environment" if sys.executable == PYTHON else "its own environment"
    note = f"starts of {every} s in {where}; no peer"
    return Row(name, "s", statistics.median(seconds), note=note)


CASES = (Case(("cold/quickstart", "cold/quickstart_warm"), measure, suites=("cpu",)),)
