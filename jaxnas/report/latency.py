"""The latency of the searched network, predicted, measured and against its budget; and the latency
model against the clock.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnas.report import style
from jaxnas.report.tables import Column, Table, make_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MILLISECONDS = "{:.2f}".format


def latency_table(latency: dict[str, Any]) -> Table:
    """One row out of `latency.json`; a median over the budget is marked."""
    stack, height, width = latency["shape"]
    coils = f", {latency['coils']} coils" if latency["coils"] > 1 else ""
    slices = f"{stack} slice{'s' if stack > 1 else ''} of {height}×{width}{coils}"
    measured, budget = latency["measured_ms"], latency["budget_ms"]
    columns = [
        Column("budget", lambda row: row["budget_ms"], "{:g}".format, None),
        Column("predicted", lambda row: row["predicted_ms"], MILLISECONDS, None),
        Column("p50", lambda row: measured["p50"], MILLISECONDS, None, lambda x: x <= budget),
        Column("p90", lambda row: measured["p90"], MILLISECONDS, None),
        Column("p99", lambda row: measured["p99"], MILLISECONDS, None),
        Column("n", lambda row: measured["n"], "{:d}".format, None),
    ]
    title = (
        f"Latency of the network for {slices} on {latency['device']}, from k-space to image, ms; "
        f"† is over the budget"
    )
    return make_table(title, "Network", ["searched"], [latency], columns)


@style.styled
def draw_calibration(calibration: dict[str, Any]) -> "Figure":
    """Measured against predicted latency of random networks, with the fitted line.

    `calibration` holds `predicted_ms` and `measured_ms` of every network, the line `a` x + `b`, and
    its `mape` (%), `raw_mape` and `spearman`.
    """
    x, y = (np.asarray(calibration[k], float) for k in ("predicted_ms", "measured_ms"))
    figure = style.new_figure(4.9, 4.4)
    axes = figure.subplots()
    reach = np.array([0.0, 1.06 * max(x.max(), y.max())])
    axes.plot(reach, reach, color=style.GREY, linewidth=1.0, linestyle="--", label="exact")
    a, b = calibration["a"], calibration["b"]
    span = np.array([x.min(), x.max()]) + np.array([-0.06, 0.06]) * np.ptp(x)
    line = f"fit: {a:.2f} × prediction {'−' if b < 0 else '+'} {abs(b):.2f} ms"
    axes.plot(span, a * span + b, color=style.VERMILLION, linewidth=1.8, label=line)
    axes.plot(x, y, "o", color=style.BLUE, markersize=6, markeredgecolor="white", zorder=3)
    low = [0.0, 0.0]
    if min(x.min(), y.min()) > 0.35 * reach[1]:  # an origin far away wastes the figure
        low = [0.94 * min(x.min(), y.min())] * 2
    axes.set(
        xlim=(low[0], reach[1]),
        ylim=(low[1], reach[1]),
        xlabel="predicted latency (ms)",
        ylabel="measured latency, median (ms)",
        aspect="equal",
    )
    lines = [f"n = {len(x)}", f"Spearman {calibration['spearman']:.2f}"]
    lines.append(f"MAPE of the fit {calibration['mape']:.1f} %")
    if calibration.get("raw_mape") is not None:
        lines.append(f"MAPE as predicted {calibration['raw_mape']:.1f} %")
    axes.text(0.97, 0.04, "\n".join(lines), transform=axes.transAxes, ha="right", va="bottom")
    axes.legend(loc="upper left")
    return figure
