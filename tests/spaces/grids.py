"""All legal paths of a grid, by walking them: the independent count for everything on grids."""

import numpy as np

from jaxnas.spaces.grid import log_betas, path_cells


def all_paths(grid):
    """Every legal path of a grid, ascending."""
    paths = [(0,)]
    for _ in range(grid.layers):
        paths = [
            (*path, scale)
            for path in paths
            for scale in range(grid.scales)
            if abs(scale - path[-1]) <= 1
        ]
    return [path for path in paths if grid.end == "any" or path[-1] == 0]


def random_betas(seed, grid):
    """Betas (L, D, 3), softmaxed over the live cells of every tile, 0 elsewhere."""
    logits = np.random.default_rng(seed).normal(size=grid.mask.shape)
    weights = np.where(grid.mask, np.exp(logits), 0.0)
    return weights / np.maximum(weights.sum(-1, keepdims=True), 1e-300)


def path_weight(path, betas):
    """Σ log β over the cells of a path; softmaxed `betas` (L, D, 3). −∞ where one of them is 0."""
    return sum(float(log) for log in log_betas(betas)[tuple(zip(*path_cells(path)))])
