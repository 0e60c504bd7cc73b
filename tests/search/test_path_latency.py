import numpy as np
import pytest

from jaxnas.search.latency import PATH_LATENCY, critical_latency, serial_latency
from jaxnas.spaces.grid import Grid, path_cells, union_cells
from tests.spaces.grids import all_paths

GRID = Grid(6, 3)
PATHS = all_paths(GRID)


def cell_ms(seed):
    ms = np.random.default_rng(seed).uniform(0.1, 2, (3, 3))
    ms[0, 0] = ms[2, 2] = np.nan
    return ms


def alone(path, ms):
    return sum(ms[d, s] for _, s, d in path_cells(path))


@pytest.mark.parametrize("seed", range(10))
def test_by_enumeration(seed):
    rng, ms = np.random.default_rng(seed), cell_ms(seed)
    paths = [PATHS[i] for i in rng.choice(len(PATHS), 4, replace=False)]
    cells = {cell for path in paths for cell in path_cells(path)}
    serial = 0.5 + sum(ms[d, s] for _, s, d in cells)
    assert serial_latency(paths, ms, fixed_ms=0.5) == pytest.approx(serial)
    inside = [path for path in PATHS if set(path_cells(path)) <= cells]
    longest = 0.5 + max(alone(path, ms) for path in inside)
    assert critical_latency(paths, ms, fixed_ms=0.5) == pytest.approx(longest)
    for latency in PATH_LATENCY.values():
        assert latency(paths[:1], ms) == pytest.approx(alone(paths[0], ms))
        assert latency(paths, ms) >= latency(paths[:3], ms)  # more cells are never faster


def test_overlap_is_counted_once():
    ms = np.ones((3, 3))
    a, b = (0, 0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 1, 0)
    assert serial_latency([a, b], ms) == len(union_cells([a, b])) == 8


def test_a_cell_without_a_time_is_named():
    ms = cell_ms(0)
    ms[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"\(0, 0, 1\) takes nan ms"):
        serial_latency([(0,) * 7], ms)
