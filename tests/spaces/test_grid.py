from collections import Counter

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.spaces.grid import (
    CELL_TYPES,
    Grid,
    check_paths,
    path_cells,
    random_path,
    union_cells,
    union_weight,
)
from tests.spaces.grids import all_paths, path_weight, random_betas

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


GRID = Grid(5, 3)
PATHS = all_paths(GRID)


def test_cells_of_a_path():
    cells = path_cells((0, 1, 1, 0))
    assert [(l, s, CELL_TYPES[d]) for l, s, d in cells] == [
        (0, 0, "contract"),
        (1, 1, "keep"),
        (2, 1, "expand"),
    ]


def test_a_union_has_every_cell_once():
    union = union_cells([(0, 1, 1, 0), (0, 1, 0, 0)])
    assert union == ((0, 0, 2), (1, 1, 0), (1, 1, 1), (2, 0, 1), (2, 1, 0))


def chance(path, betas):
    return np.prod([betas[cell] for cell in path_cells(path)])


@pytest.mark.parametrize("end", ["start", "any"])
def test_weights_are_log_probabilities(end):
    grid = Grid(5, 3, end)
    paths, betas = all_paths(grid), random_betas(1, grid)
    weights = [path_weight(path, betas) for path in paths]
    np.testing.assert_allclose(weights, np.log([chance(path, betas) for path in paths]))
    assert np.exp(weights).sum() == pytest.approx(1)
    assert union_weight(paths, betas) == pytest.approx(0, abs=1e-12)
    for path, weight in zip(paths, weights):
        assert union_weight([path], betas) == pytest.approx(weight)


@pytest.mark.parametrize("seed", range(20))
def test_union_weight_counts_every_path_inside(seed):
    rng = np.random.default_rng(seed)
    betas = random_betas(seed, GRID)
    some = [PATHS[i] for i in rng.choice(len(PATHS), 4, replace=False)]
    cells = set(union_cells(some))
    inside = [path for path in PATHS if set(path_cells(path)) <= cells]
    expected = np.log(sum(chance(path, betas) for path in inside))
    assert union_weight(some, betas) == pytest.approx(expected)
    assert union_weight(some, betas) >= union_weight(some[:3], betas)


def test_a_beta_of_zero_weighs_minus_infinity():
    betas = random_betas(0, GRID)
    betas[2, 0, 1] = 0
    assert path_weight((0,) * 6, betas) == -np.inf == union_weight([(0,) * 6], betas)


def test_random_paths_are_uniform():
    grid = Grid(4, 3)
    rng = np.random.default_rng(0)
    found = Counter(random_path(rng, grid) for _ in range(4000))
    assert set(found) == set(all_paths(grid))
    expected = 4000 / grid.paths
    chi2 = sum((n - expected) ** 2 / expected for n in found.values())
    assert chi2 < 2 * grid.paths


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (None, "paths: found none"),
        ([], "paths: found none"),
        ([[0, 0, 0]], r"paths\[0\] has 3 scales; a network of 5 layers needs 6"),
        ([[0, 1, 2, 3, 2, 1]], "has the scale 3; expected 0 to 2"),
        ([[0, 0, 0, 0, 0, -1]], "has the scale -1"),
        ([[1, 1, 1, 1, 1, 0]], "starts at scale 1; expected 0"),
        ([[0] * 6, [0, 2, 1, 1, 1, 0]], r"paths\[1\] goes from scale 0 to 2 in layer 0"),
        ([[0, 0, 0, 0, 0, 1]], "ends at scale 1; expected 0"),
        ([[0] * 6, [0] * 6], r"paths\[1\] is listed twice"),
    ],
)
def test_bad_paths_are_explained(paths, message):
    with pytest.raises(UserError, match=message) as caught:
        check_paths(paths, GRID, where="g.json")
    assert str(caught.value).startswith("g.json: paths")


def test_legal_paths_pass():
    assert check_paths([list(path) for path in PATHS], GRID) == tuple(PATHS)
    assert check_paths([[0, 0, 0, 0, 0, 1]], Grid(5, 3, "any")) == ((0, 0, 0, 0, 0, 1),)
