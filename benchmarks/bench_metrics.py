"""SSIM of sixteen slices of 320² against scikit-image, which computes in the images' precision."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.cases import Case
from benchmarks.rows import Row, time_row
from benchmarks.timing import Prepared, Program, compare, serve

SLICES, SIZE = 16, 320
TOLERANCE = 1e-4


def prepare(name: str, problem: dict[str, np.ndarray]) -> Prepared:
    """Ours."""
    import jax.numpy as jnp

    from benchmarks.ours import prepare_function
    from jaxnas.metrics.image import ssim

    def run(target, image):
        return ssim(target, image, data_range=target.max(axis=(-2, -1)))

    images = (jnp.asarray(problem["target"]), jnp.asarray(problem["image"]))
    return prepare_function(run, images, lambda y: {"ssim": y})


def measure(folder: Path) -> Iterator[Row]:
    """Slices per second."""
    rng = np.random.default_rng(1)
    target = rng.random((SLICES, SIZE, SIZE)).astype(np.float32)
    image = (target + 0.3 * rng.normal(size=target.shape)).astype(np.float32)
    np.savez(folder / "problem.npz", target=target, image=image)
    programs = [
        Program("jaxnas", "benchmarks.bench_metrics"),
        Program("skimage", "benchmarks.peers.skimage_metrics", "skimage"),
    ]
    outcome = compare(programs, folder / "problem.npz", tolerance=TOLERANCE, budget_s=10)
    yield time_row("metrics/ssim", outcome, items=SLICES)


CASES = (Case(("metrics/ssim",), measure),)

if __name__ == "__main__":
    serve(prepare)
