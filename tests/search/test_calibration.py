import json

import numpy as np
import pytest
from scipy import stats

from jaxnas.search.calibration import Calibration, calibration_from_json, fit_calibration


def pairs(seed=0, n=20, noise=0.05):
    rng = np.random.default_rng(seed)
    x = rng.uniform(2, 10, n)
    return x, (1.3 * x + 0.5) * (1 + noise * rng.normal(size=n))


def test_recovers_a_line():
    x, y = pairs(noise=0.0)
    fit = fit_calibration(x, y)
    assert (fit.a, fit.b) == pytest.approx((1.3, 0.5))
    assert fit.mape == pytest.approx(0, abs=1e-9)
    assert fit.spearman == fit.kendall == pytest.approx(1.0)
    assert fit.warning is None and fit.n == 20
    assert fit.raw_bias_ms == pytest.approx(np.mean(x - y))
    assert fit.raw_mape == pytest.approx(100 * np.mean((y - x) / y))
    np.testing.assert_allclose(fit.predict(x), y)
    assert fit.predict(4.0) == pytest.approx(5.7)


def test_numbers_are_those_of_numpy_and_scipy():
    x, y = pairs()
    fit = fit_calibration(x, y)
    np.testing.assert_allclose((fit.a, fit.b), np.polyfit(x, y, 1))
    errors = []
    for i in range(len(x)):
        a, b = np.polyfit(np.delete(x, i), np.delete(y, i), 1)
        errors.append(abs(a * x[i] + b - y[i]) / y[i])
    assert fit.mape == pytest.approx(100 * np.mean(errors))
    assert fit.spearman == pytest.approx(stats.spearmanr(x, y)[0])
    assert fit.kendall == pytest.approx(stats.kendalltau(x, y)[0])


def test_a_prediction_that_ranks_badly_is_flagged():
    x, y = pairs()
    shuffled = fit_calibration(np.random.default_rng(1).permutation(x), y)
    assert shuffled.spearman < 0.8 and "Spearman correlation of" in shuffled.warning
    against = fit_calibration(-x, y)
    assert against.a == 0 and against.b == pytest.approx(y.mean())
    assert against.warning is not None
    flat = fit_calibration(np.ones_like(x), y)
    assert (flat.a, flat.spearman, flat.kendall) == (0, 0, 0) and flat.warning is not None


@pytest.mark.parametrize("x", [pairs()[0], np.ones(20)])
def test_json_round_trip(x):
    fit = fit_calibration(x, pairs()[1])
    assert calibration_from_json(json.loads(json.dumps(fit.to_json(), allow_nan=False))) == fit
    assert isinstance(fit, Calibration)


@pytest.mark.parametrize(
    ("x", "y"),
    [([1, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([1, 2, np.nan], [1, 2, 3]), ([1, 2, 3], [0, 2, 3])],
)
def test_pairs_that_say_nothing(x, y):
    with pytest.raises(ValueError, match="expected"):
        fit_calibration(x, y)
