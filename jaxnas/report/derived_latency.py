"""The latency of the searched network: predicted, measured, and against its budget."""

from typing import Any

from jaxnas.report.tables import Column, Table, make_table

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
