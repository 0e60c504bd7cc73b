"""Predicted against measured latency: a line through both, and how well the prediction ranks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jaxnas.core.errors import UserError

LEAST_MS = 1e-3  # the logarithm of fewer microseconds than one is negative
LEAST_RANK = 0.8  # a Spearman correlation below makes the model a poor guide


@dataclass(frozen=True)
class Calibration:
    """L = a · predicted + b in ms, fitted to `n` measured networks.

    `mape` is the mean absolute error in per cent of the fit, every network predicted by a fit to
    the others; `raw_mape` and `raw_bias_ms` (mean of predicted − measured) are those of the
    prediction itself. `spearman` and `kendall` compare the ranks, 0 if all predictions or all
    measurements are equal. `warning` says in words what is wrong, None if nothing is.
    """

    a: float
    b: float
    n: int
    mape: float
    raw_mape: float
    raw_bias_ms: float
    spearman: float
    kendall: float
    warning: str | None = None

    def predict(self, predicted_ms: Any) -> Any:
        """The calibrated latency in ms of a predicted one; numbers and arrays alike."""
        return self.a * predicted_ms + self.b

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON."""
        return asdict(self)


def calibration_from_json(value: Mapping[str, Any]) -> Calibration:
    """The inverse of `Calibration.to_json`."""
    return Calibration(**value)


def fit_calibration(predicted_ms: Sequence[float], measured_ms: Sequence[float]) -> Calibration:
    """The least-squares line with a ≥ 0 through pairs in ms, and its quality.

    ValueError for fewer than three pairs, or values that are not finite or not positive.
    """
    x, y = (np.asarray(v, np.float64) for v in (predicted_ms, measured_ms))
    if x.shape != y.shape or x.ndim != 1 or len(x) < 3:
        raise ValueError(f"found {x.shape} predicted and {y.shape} measured, expected 3 pairs")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (y > 0).all()):
        raise ValueError("expected finite latencies and measured ones above 0 ms")
    a, b = _line(x, y)
    others = ~np.eye(len(x), dtype=bool)
    lines = [_line(x[keep], y[keep]) for keep in others]
    held_out = np.array([a * xi + b for (a, b), xi in zip(lines, x)])
    spearman, kendall = _ranks(x, y)
    return Calibration(
        a=a,
        b=b,
        n=len(x),
        mape=_mape(held_out, y),
        raw_mape=_mape(x, y),
        raw_bias_ms=float(np.mean(x - y)),
        spearman=spearman,
        kendall=kendall,
        warning=_warning(spearman, len(x)),
    )


def check_guides(fit: Calibration, fastest_ms: float, *, where: str) -> None:
    """Raises UserError, naming `where`, for a calibration that no search can be held to a latency
    by: one that says nothing, or calls a network below `LEAST_MS` that the search can reach.

    `fastest_ms` is the least uncalibrated latency that it can, of the fastest network.
    """
    again = (
        "delete the file and measure again on a quiet machine or with a larger "
        "latency.calibration, or set search.objective: accuracy"
    )
    if fit.a <= 0 or fit.spearman <= 0:
        raise UserError(
            f"{where}: the latency model ranks {fit.n} measured networks with a Spearman "
            f"correlation of {fit.spearman:.2f} and a slope of {fit.a:.3g}, so a search under a "
            f"latency would follow noise; expected both above 0, {again}"
        )
    least = float(fit.predict(fastest_ms))
    if not least >= LEAST_MS:
        raise UserError(
            f"{where}: the calibrated latency {fit.a:.3g} L {fit.b:+.3g} ms is negative below L = "
            f"{-fit.b / fit.a:.3g} ms, and the search can reach {fastest_ms:.3g} ms; expected a "
            f"latency above 0 for every network, {again}"
        )


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """argmin_{a ≥ 0, b} Σ (a x + b − y)²; a = 0 where x tells nothing or the wrong way."""
    spread = np.sum((x - x.mean()) ** 2)
    a = max(0.0, float(np.sum((x - x.mean()) * (y - y.mean())) / spread)) if spread > 0 else 0.0
    return a, float(y.mean() - a * x.mean())


def _mape(predicted: np.ndarray, measured: np.ndarray) -> float:
    return float(100 * np.mean(np.abs(predicted - measured) / measured))


def _ranks(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0, 0.0
    from scipy import stats  # takes as long to import as JAX

    # Any: SciPy says nothing of what these return.
    spearman: Any = stats.spearmanr(x, y)
    kendall: Any = stats.kendalltau(x, y)
    return float(spearman.statistic), float(kendall.statistic)


def _warning(spearman: float, n: int) -> str | None:
    if spearman >= LEAST_RANK:
        return None
    return (
        f"the latency model ranks {n} measured networks with a Spearman correlation of "
        f"{spearman:.2f}, below {LEAST_RANK}: trust measurements, not predictions, on this device"
    )
