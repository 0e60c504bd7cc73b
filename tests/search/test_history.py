import numpy as np
import pytest

from jaxnas.search.history import History
from jaxnas.spaces.registry import SPACES, TWO_LEVEL_SPACES

SPACE = SPACES["csmri_a"]


def weights(favourite):
    table = np.full((2, 5), 0.1)
    table[:, favourite] = 0.6
    return {"normal": table}


def record(history, favourites, losses=None):
    for step, favourite in enumerate(favourites):
        loss = {"valid_loss": losses[step]} if losses else {}
        history.record(10 * (step + 1), weights(favourite), loss)


@pytest.mark.parametrize(
    ("favourites", "patience", "stable", "stop"),
    [
        ([0], 1, 1, True),
        ([0, 0, 1], 2, 1, False),
        ([0, 1, 1], 2, 2, True),
        ([1, 1, 1, 1], 0, 4, False),
        ([], 3, 0, False),
    ],
)
def test_stops_when_the_genotype_is_stable(favourites, patience, stable, stop):
    history = History(SPACE, patience=patience)
    record(history, favourites)
    assert (history.stable_checks, history.should_stop) == (stable, stop)


@pytest.mark.parametrize(("warmup", "stable"), [(0, 4), (10, 3), (30, 1), (40, 0)])
def test_checks_during_the_warm_up_do_not_count(warmup, stable):
    history = History(SPACE, patience=2, warmup=warmup)
    record(history, [1, 1, 1, 1])
    assert (history.stable_checks, history.should_stop) == (stable, stable >= 2)


def test_best_and_last():
    history = History(SPACE)
    record(history, [0, 1, 2], losses=[0.3, 0.1, 0.2])
    assert history.best.cell("normal")[0][0][0] == SPACE.operations[1]
    assert history.last.cell("normal")[0][0][0] == SPACE.operations[2]


def test_survives_a_restart():
    history, copy = (History(SPACE.bound(1), patience=2) for _ in range(2))
    record(history, [0, 1, 1], losses=[3.0, 2.0, 1.0])
    copy.from_json(history.to_json())
    assert copy.summary() == history.summary()
    assert copy.should_stop
    assert copy.summary()["cells"] == {"normal": [[0, 0], [0, 1]]}


@pytest.mark.parametrize("space", SPACES)
def test_every_space_is_recorded(space):
    """alphas.json tells edges and operations of any space; its genotypes can be read back."""
    history = History(SPACES[space], patience=2)
    operations, edges = SPACES[space].operations, SPACES[space].edges()
    table = np.random.default_rng(0).dirichlet(np.ones(len(operations)), size=len(edges))
    genotype = history.record(0, {"normal": table}, {"valid_loss": 1.0})
    assert history.last == history.best == genotype
    summary = history.summary()
    assert summary["operations"] == list(operations)
    assert np.shape(summary["history"][0]["weights"]["normal"]) == (len(edges), len(operations))
    assert summary["cells"]["normal"][-1] == [*edges[-1]]


def test_weights_alone_do_not_unsettle_a_genotype():
    """The picks of FedAutoMRI stay while their weights drift: the search is stable."""
    history = History(SPACES["fedautomri"], patience=3)
    for step in range(3):
        table = np.full((2, 8), 0.05)
        table[:, 3], table[:, 5] = 0.4 + 0.01 * step, 0.3 - 0.01 * step
        history.record(step + 1, {"normal": table}, {})
    first, *_, last = (record["genotype"] for record in history.records)
    assert first["weights"] != last["weights"] and first["cells"] == last["cells"]
    assert history.should_stop


def test_a_two_level_search_is_stable_in_its_cells_and_in_its_ways():
    """Cells may have settled while paths have not; small changes of either do not count."""
    space = TWO_LEVEL_SPACES["rtdnas"]
    rng, shapes = np.random.default_rng(1), space.alpha_shapes()
    cells = {name: rng.random(shape) for name, shape in shapes["cells"].items()}
    betas = rng.random(shapes["betas"])
    other = {name: table[:, ::-1] for name, table in cells.items()}
    history = History(space, patience=2)
    seen = []
    for step, (tables, ways) in enumerate(
        [(cells, betas), (other, betas), (other, -betas), (other, -betas + 1e-4)], start=1
    ):
        history.record(step, {"cells": tables, "betas": ways}, {})
        seen.append(history.stable_checks)
    assert seen == [1, 1, 1, 2] and history.should_stop
    assert [*history.summary()["cells"]] == [*space.cells]
