"""The classical operators at 320²: centred FFT of eight coils, CG-SENSE, TV; SigPy and BART.

`mri/cg`: eight iterations of conjugate gradients on (I + λ AᴴA) x = λ Aᴴs, eight coils. `mri/tv`:
fifty iterations of Chambolle and Pock on ½‖Ax − s‖² + w TV(x), one coil. SigPy runs the same
iterations with its own operators and algorithms, BART the first two.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.cases import Case
from benchmarks.rows import Row, time_row
from benchmarks.timing import Prepared, Program, compare, serve

SIZE, COILS, SAMPLED = 320, 8, 0.25
LAM, CG_ITERATIONS = 20.0, 8
TV_WEIGHT, TV_ITERATIONS = 0.004, 50
TOLERANCE = 1e-3


def make_problem(path: Path, what: str) -> None:
    """Writes coil images, k-space, a mask and normalised coil maps."""
    rng, shape = np.random.default_rng(1), (COILS, SIZE, SIZE)

    def noise(shape):
        return np.complex64(rng.normal(size=shape) + 1j * rng.normal(size=shape))

    mask = np.float32(rng.random((1, SIZE)) < SAMPLED)
    sens = noise(shape)
    sens /= np.sqrt((np.abs(sens) ** 2).sum(0))
    coils = noise(shape) * mask
    np.savez(path, what=what, images=noise(shape), coils=coils, mask=mask, sens=sens)


def prepare(name: str, problem: dict[str, np.ndarray]) -> Prepared:
    """Ours."""
    import jax.numpy as jnp

    from benchmarks.ours import prepare_function
    from jaxnas.mri.acquisition import Measurement
    from jaxnas.mri.complexes import fft2c
    from jaxnas.mri.consistency import sense_consistency
    from jaxnas.mri.tv import tv_reconstruct

    mask, coils = problem["mask"][None], problem["coils"]

    def cg(kspace, sens):
        zero = jnp.zeros((1, SIZE, SIZE), jnp.complex64)
        return sense_consistency(
            zero, kspace[None], mask, sens[None], lam=LAM, iterations=CG_ITERATIONS
        )[0]

    def tv(kspace):
        measurement = Measurement(kspace, jnp.asarray(mask), None, jnp.ones(1))
        return tv_reconstruct(measurement, weight=TV_WEIGHT, iterations=TV_ITERATIONS)[0]

    program, arguments = {
        "fft": (fft2c, (problem["images"],)),
        "cg": (cg, (coils, problem["sens"])),
        "tv": (tv, (coils[:1],)),
    }[str(problem["what"])]
    return prepare_function(program, tuple(map(jnp.asarray, arguments)), lambda y: {"y": y})


def measure(what: str, folder: Path) -> Iterator[Row]:
    """One operator."""
    make_problem(folder / "problem.npz", what)
    programs = [
        Program("jaxnas", "benchmarks.bench_mri"),
        Program("sigpy", "benchmarks.peers.sigpy_mri", "sigpy"),
    ]
    if what != "tv":
        programs.append(Program("bart", "benchmarks.peers.bart_mri", baseline=True))
    outcome = compare(programs, folder / "problem.npz", tolerance=TOLERANCE, budget_s=10)
    yield time_row(f"mri/{what}", outcome)


CASES = tuple(Case((f"mri/{what}",), partial(measure, what)) for what in ("fft", "cg", "tv"))

if __name__ == "__main__":
    serve(prepare)
