"""The Fourier transform and CG-SENSE of bench_mri by BART, its command as a user runs it.

A run is a process of its own that reads and writes files. BART's TV is left out: it is
another algorithm, whose result after as many iterations is another one.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import numpy as np

from benchmarks.bench_mri import CG_ITERATIONS, LAM
from benchmarks.suite import processors
from benchmarks.timing import Prepared, serve

VARIABLE = "JAXNAS_BART"


def write_cfl(path: Path, array: np.ndarray) -> None:
    """(C, H, W) or (H, W) as BART's dimensions W, H, 1, C."""
    sizes = [*array.shape[-2:][::-1], 1, *array.shape[:-2]]
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{' '.join(map(str, sizes))}\n")
    array.astype(np.complex64).tofile(path.with_suffix(".cfl"))


def prepare(name: str, problem):
    """One of the two."""
    bart = shutil.which(os.environ.get(VARIABLE, "bart"))
    if bart is None:
        raise SystemExit(f"peer not installed (bart; name its command in {VARIABLE})")
    what = str(problem["what"])
    folder = Path(sys.argv[2]).parent  # the problem's
    files = {n: folder / f"bart_{n}" for n in ("images", "coils", "sens", "y")}
    for n in ("images", "coils", "sens"):
        write_cfl(files[n], problem[n])
    # The same system by 1/λ: (AᴴA + 1/λ) x = Aᴴs; without BART's own scaling of the data.
    solve = ["pics", "-w", "1", "-l2", "-r", str(1 / LAM), "-i", str(CG_ITERATIONS)]
    command = {
        "fft": [bart, "fft", "-u", "3", files["images"], files["y"]],
        "cg": [bart, *solve, files["coils"], files["sens"], files["y"]],
    }[what]
    shape = problem["images"].shape if what == "fft" else problem["images"].shape[1:]
    environment = os.environ | {"OMP_NUM_THREADS": str(processors())}

    def run():
        subprocess.run(command, env=environment, check=True, capture_output=True)

    def result():
        return {"y": np.fromfile(files["y"].with_suffix(".cfl"), np.complex64).reshape(shape)}

    version = subprocess.run([bart, "version"], capture_output=True, text=True, check=True)
    facts = {"version": f"bart {version.stdout.strip()}"}
    return Prepared(run, result, facts, lambda: getrusage(RUSAGE_CHILDREN).ru_maxrss / 1024)


if __name__ == "__main__":
    serve(prepare)
