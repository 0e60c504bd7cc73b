"""The device as a run knows it: the latency table and the calibration of the latency model, each
given or measured once and kept in the run directory."""

from collections.abc import Callable

from jaxnas.core.notices import warn
from jaxnas.engine.run import Run
from jaxnas.search import calibration
from jaxnas.search.deployment import Deployment, calibrate, latency_objective
from jaxnas.search.latency_table import (
    LatencyTable,
    check_device,
    device_kind,
    load_table,
    save_table,
)
from jaxnas.search.objective import SearchObjective


def table_name(run: Run) -> str:
    """The name of a run's table in messages."""
    return run.config.latency.table or str(run.dir.latency_table)


def given_table(path: str) -> LatencyTable:
    """The table that a config names; UserError unless it was measured on this device."""
    return check_device(load_table(path), device=device_kind(), where=path)


def obtain_table(run: Run, measure: Callable[..., LatencyTable]) -> LatencyTable:
    """The table of a run: the config's, the run's own, or else that of `measure(on_part=...)`,
    which is kept."""
    own = run.dir.latency_table
    if run.config.latency.table is not None:
        return given_table(run.config.latency.table)
    if own.exists():
        return check_device(load_table(own.path), device=device_kind(), where=str(own))
    run.log("measuring every operation on this device")
    table = measure(on_part=lambda key, timing: run.log(f"  {timing.p50:9.3f} ms  {key}"))
    save_table(own.path, table)
    return table


def load_calibration(run: Run, deployment: Deployment) -> calibration.Calibration:
    """The calibration of a run: its own, or else measured now and kept."""
    file, config = run.dir.calibration, run.config
    if file.exists():
        pairs = ("predicted_ms", "measured_ms")
        known = {k: v for k, v in file.read().items() if k not in pairs}
        fitted = calibration.calibration_from_json(known)
    else:
        fitted, record = calibrate(
            deployment, networks=config.latency.calibration, seed=config.seed, log=run.log
        )
        file.write(record)
        run.log(f"latency: Spearman {fitted.spearman:.2f}, error of the fit {fitted.mape:.1f} %")
    if fitted.warning:
        warn(f"latency: {fitted.warning}")
    return fitted


def load_objective(run: Run, deployment: Deployment) -> SearchObjective:
    """The objective of a run's search on the latency of this device; measures what is unknown."""
    fitted, config = load_calibration(run, deployment), run.config
    return latency_objective(
        config.search.objective, config.latency, deployment, fitted, where=str(run.dir.calibration)
    )
