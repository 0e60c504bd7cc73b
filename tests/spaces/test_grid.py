import numpy as np
import pytest

from jaxnas.spaces.grid import Grid, path_cells
from tests.spaces.grids import all_paths

SHAPES = ((1, 1), (1, 3), (4, 2), (5, 4), (3, 6))
GRIDS = [Grid(layers, scales, end) for layers, scales in SHAPES for end in ("start", "any")]


@pytest.mark.parametrize(
    ("scales", "end", "paths", "cells"),
    [
        (3, "start", 1682, 56),
        (3, "any", 5741, 63),
        (4, "start", 2135, 70),
        (4, "any", 10946, 85),
        (5, "start", 2187, 78),
        (5, "any", 14411, 104),
    ],
)
def test_golden_counts_of_ten_layers(scales, end, paths, cells):
    grid = Grid(scales=scales, end=end)
    assert grid.layers == 10
    assert grid.paths == paths
    assert len(grid.cells) == cells == grid.mask.sum()


def test_golden_tile_counts():
    rows = [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [2, 2, 1, 0],
        [4, 5, 3, 1],
        [9, 12, 9, 4],
        [21, 30, 25, 13],
        [51, 76, 68, 38],
        [127, 195, 182, 106],
        [322, 504, 483, 288],
        [826, 1309, 1275, 771],
        [2135, 3410, 3355, 2046],
    ]
    np.testing.assert_array_equal(Grid().forward_counts(), rows)
    np.testing.assert_array_equal(Grid().backward_counts(), rows[::-1])


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_counts_are_those_of_walking_every_path(grid):
    paths = all_paths(grid)
    assert grid.paths == len(paths)
    through = np.zeros((grid.layers, grid.scales, 3), int)
    for path in paths:
        for cell in path_cells(path):
            through[cell] += 1
    np.testing.assert_array_equal(grid.path_counts(), through)
    np.testing.assert_array_equal(grid.mask, through > 0)
    assert grid.cells == tuple(sorted({c for path in paths for c in path_cells(path)}))


def test_counts_stay_exact_in_the_largest_grid():
    grid = Grid(39, 40, "any")
    ways = [1]
    for _ in range(39):  # Python's integers have no limit
        ways = [sum(ways[max(0, s - 1) : s + 2]) for s in range(len(ways) + 1)]
    assert grid.paths == sum(ways)


def test_a_grid_is_a_value():
    assert Grid() == Grid(10, 4, "start") and hash(Grid()) == hash(Grid(10, 4, "start"))
    with pytest.raises(ValueError, match="read-only"):
        Grid().mask[0, 0, 0] = True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "layers is 0"), ((40,), "1 to 39"), ((3, 0), "scales is 0"), ((3, 2, "top"), "'top'")],
)
def test_impossible_grids(arguments, message):
    with pytest.raises(ValueError, match=message):
        Grid(*arguments)
