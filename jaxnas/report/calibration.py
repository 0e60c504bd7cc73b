"""The latency model against the clock."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnas.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
