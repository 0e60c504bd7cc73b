"""SSIM by scikit-image, slice by slice."""

import numpy as np
import skimage
from skimage.metrics import structural_similarity

from benchmarks.timing import Prepared, peak_memory, serve


def prepare(name: str, problem):
    """All slices."""
    pairs = list(zip(problem["target"], problem["image"]))
    value = None

    def run():
        nonlocal value
        value = [structural_similarity(t, x, data_range=t.max(), win_size=7) for t, x in pairs]

    facts = {"version": f"scikit-image {skimage.__version__}"}
    return Prepared(run, lambda: {"ssim": np.array(value)}, facts, peak_memory)


if __name__ == "__main__":
    serve(prepare)
