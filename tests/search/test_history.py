import numpy as np
import pytest

from jaxnas.search.history import History
from jaxnas.spaces.csmri import SPACES

OPERATIONS = SPACES["csmri_a"].operations


def weights(favourite):
    table = np.full((2, 5), 0.1)
    table[:, favourite] = 0.6
    return {"normal": table}


def record(history, favourites, losses=None):
    for step, favourite in enumerate(favourites):
        loss = {"valid_loss": losses[step]} if losses else {}
        history.record(10 * step, weights(favourite), loss)


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
    history = History("csmri_a", OPERATIONS, patience=patience)
    record(history, favourites)
    assert (history.stable_checks, history.should_stop) == (stable, stop)


def test_best_and_last():
    history = History("csmri_a", OPERATIONS)
    record(history, [0, 1, 2], losses=[0.3, 0.1, 0.2])
    assert history.best.cell("normal")[0][0][0] == OPERATIONS[1]
    assert history.last.cell("normal")[0][0][0] == OPERATIONS[2]


def test_survives_a_restart():
    history, copy = (History("csmri_a", OPERATIONS, patience=2) for _ in range(2))
    record(history, [0, 1, 1], losses=[3.0, 2.0, 1.0])
    copy.from_json(history.to_json())
    assert copy.summary({"normal": 1}) == history.summary({"normal": 1})
    assert copy.should_stop
    assert copy.summary({"normal": 1})["cells"] == {"normal": [[0, 0], [0, 1]]}
