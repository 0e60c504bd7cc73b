"""The operators of bench_mri with SigPy's operators and algorithms, on its CPU backend."""

import numpy as np
import sigpy
from sigpy import alg, linop
from sigpy.mri.linop import Sense

from benchmarks.bench_mri import CG_ITERATIONS, LAM, SIZE, TV_ITERATIONS, TV_WEIGHT
from benchmarks.timing import Prepared, peak_memory, serve

AXES = (-2, -1)
TAU = 10.0
SIGMA = 1 / (8 * TAU)  # both steps as in jaxnas.mri.tv


def conjugate_gradients(kspace, mask, sens):
    """(I + λ AᴴA) x = λ Aᴴs."""
    sense = Sense(sens, weights=mask)
    rhs, x = LAM * (sense.H * kspace), np.zeros((SIZE, SIZE), np.complex64)
    solver = alg.ConjugateGradient(
        lambda v: v + LAM * (sense.H * (sense * v)), rhs, x, max_iter=CG_ITERATIONS
    )
    while not solver.done():
        solver.update()
    return solver.x


def total_variation(kspace, mask):
    """Chambolle and Pock: the data term is the primal proximal map, the projection the dual one."""
    start = sigpy.ifft(kspace, axes=AXES)
    radius, shape = TV_WEIGHT * np.abs(start).max(), list(start.shape)
    gradient = linop.Vstack(
        [
            linop.Reshape([1, *shape], shape)
            * (linop.Circshift(shape, [-1], axes=[axis]) - linop.Identity(shape))
            for axis in AXES
        ],
        axis=0,
    )

    def project(sigma, u):
        length = np.sqrt((np.abs(u) ** 2).sum(0))
        return u * (radius / np.maximum(length, radius))

    def consistent(tau, x):
        k = sigpy.fft(x, axes=AXES)
        return x + tau / (1 + tau) * sigpy.ifft(mask * (kspace - k), axes=AXES)

    dual = np.zeros((2, *shape), np.complex64)
    solver = alg.PrimalDualHybridGradient(
        project, consistent, gradient, gradient.H, start, dual, TAU, SIGMA, max_iter=TV_ITERATIONS
    )
    while not solver.done():
        solver.update()
    return solver.x


def prepare(name: str, problem):
    """One of the three."""
    kspace, mask = problem["coils"], problem["mask"]
    programs = {
        "fft": lambda: sigpy.fft(problem["images"], axes=AXES),
        "cg": lambda: conjugate_gradients(kspace, mask, problem["sens"]),
        "tv": lambda: total_variation(kspace[0], mask),
    }
    program, value = programs[str(problem["what"])], None

    def run():
        nonlocal value
        value = program()

    facts = {"version": f"sigpy {sigpy.__version__}"}
    return Prepared(run, lambda: {"y": value}, facts, peak_memory)


if __name__ == "__main__":
    serve(prepare)
