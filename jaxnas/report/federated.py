"""The tables of a federated evaluation: methods against clients, and the ablation.

A method is a model and the strategy it was trained with; the classical reconstructions, which
nobody trains, stand beside them. Quality is the mean over the slices of a client; "all" pools the
slices of all clients, so that a client counts by its size. Those of a segmentation, Dice of every
method at every client, are the last.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from jaxnas.report.names import (
    EVERYONE,
    method_key,
    method_name,
    method_parts,
    method_rank,
    row_name,
)
from jaxnas.report.overlaps import class_names, class_title, dice_of
from jaxnas.report.tables import (
    Column,
    Table,
    make_table,
    mean_of,
    method_tables,
    short_number,
    speed_name,
    spread,
    volume_rows,
)
from jaxnas.report.traffic import round_bytes, short_bytes

MOST_CLIENTS = 6  # more columns than that nobody reads
ABLATION = {
    "fedautomri_baseline/fedavg": "manual, without EMA",
    "fedautomri_baseline/fedautomri": "manual, with EMA",
    "derived/fedavg": "searched, without EMA",
    "derived/fedautomri": "searched, with EMA",
}
SPLITS = ("train", "valid", "test")
QUALITY = {"psnr": ("PSNR (dB)", 2), "ssim": ("SSIM", 4)}
KEPT = ("model", "strategy", "acceleration", "n", "mse", "nmse", "psnr", "ssim")


class ReportedMethod(NamedTuple):
    """One method and its rows of metrics.json by client, all at one acceleration."""

    key: str
    rows: dict[str, dict[str, Any]]

    def score(self, client: str, quantity: str) -> float | None:
        """The mean of a quantity at one client; None where it was not measured."""
        return mean_of(self.rows.get(client, {}).get(quantity))

    def scores(self, quantity: str) -> dict[str, float]:
        """The mean of a quantity by client, where it was measured, without "all"."""
        found = {client: self.score(client, quantity) for client in self.rows if client != EVERYONE}
        return {client: value for client, value in found.items() if value is not None}

    def cost(self, quantity: str) -> int | None:
        """Parameters, MACs or FLOPs; of the first client where "all" has none."""
        rows = [self.rows.get(EVERYONE, {}), *self.rows.values()]
        return next((row[quantity] for row in rows if row.get(quantity)), None)

    def worst(self) -> tuple[str, float] | None:
        """The client with the lowest mean PSNR, and that PSNR."""
        return min(self.scores("psnr").items(), key=lambda item: item[1], default=None)


def methods_of(metrics: dict[str, Any], *, acceleration: Any = "all") -> list[ReportedMethod]:
    """All methods at an acceleration: untrained ones first, searched networks last."""
    found: dict[str, ReportedMethod] = {}
    for row in metrics["rows"]:
        if row["acceleration"] == acceleration:
            key = method_key(row)
            method = found.setdefault(key, ReportedMethod(key, {}))
            method.rows[row.get("client", EVERYONE)] = row
    return sorted(found.values(), key=lambda method: method_rank(method.key))


def client_names(methods: Iterable[ReportedMethod]) -> list[str]:
    """The clients of the methods, in order of appearance, without "all"."""
    names = dict.fromkeys(client for method in methods for client in method.rows)
    return [name for name in names if name != EVERYONE]


def roster_table(roster: list[dict[str, Any]]) -> Table:
    """The clients: volumes and slices of every split, how each acquires, what it weighs."""
    total = sum(client["weight"] for client in roster) or 1
    columns = [
        Column(split, lambda c, k=kind, s=split: _size(c[k].get(s)), "{:d}".format, None)
        for kind in ("volumes", "slices")
        for split in SPLITS
    ]
    columns += [
        Column("size", lambda c: "×".join(map(str, c["shape"])), str, None),
        Column("coils", lambda c: c["coils"], str, None),
        Column("mask", lambda c: c["acquisition"]["mask"], str, None),
        Column("accelerations", lambda c: _factors(c["acquisition"]), str, None),
        Column("share", lambda c: c["weight"] / total, "{:.1%}".format, None),
    ]
    groups = (
        ("", 1),
        ("volumes", 3),
        ("slices", 3),
        ("images", 2),
        ("sampling", 2),
        ("average", 1),
    )
    title = "The clients, and their share of the averages"
    names = [client["name"] for client in roster]
    return make_table(title, "Client", names, roster, columns, groups=groups)


def comparison_tables(
    metrics: dict[str, Any], *, communication: dict[str, Any] | None = None
) -> list[Table]:
    """Table 1 of FedAutoMRI: over all accelerations, then one table per acceleration.

    Rows are methods; columns PSNR and SSIM of every client and of all slices, the worst client,
    and in the first table parameters, FLOPs and bytes per round. Above `MOST_CLIENTS` clients the
    lowest, the median and the highest of them stand for all.
    """
    speeds = sorted({row["acceleration"] for row in metrics["rows"]} - {"all"})
    tables = []
    for speed in ("all", *speeds):
        methods = methods_of(metrics, acceleration=speed)
        title = f"{speed_name(speed).capitalize()}{_sizes(methods)}"
        costs = _cost_columns(methods, communication or {}) if speed == "all" else []
        tables += [_comparison(title, methods, costs)] if methods else []
    return tables


def volume_table(metrics: dict[str, Any]) -> Table | None:
    """Table 1 under fastMRI's volume convention, over all accelerations."""
    methods = methods_of({"rows": volume_rows(metrics["rows"])})
    return _comparison("All accelerations, mean over volumes", methods, []) if methods else None


def ablation_table(metrics: dict[str, Any]) -> Table | None:
    """Table 2 of FedAutoMRI: the manual baseline, the searched network without and with EMA.

    None unless the run has two of them.
    """
    known = {method.key: method for method in methods_of(metrics)}
    rows = [known[key] for key in ABLATION if key in known]
    if len(rows) < 2:
        return None
    names = [ABLATION[method.key] for method in rows]
    title = "Ablation: manual and searched network, without EMA (FedAvg) and with it (FedAutoMRI)"
    activations = Column(
        "FLOPs + act.", lambda m: m.cost("flops_with_activations"), short_number, min
    )
    return _comparison(title, rows, [*_cost_columns(rows, {}), activations], names=names)


def client_tables(metrics: dict[str, Any]) -> list[Table]:
    """Mean ± standard deviation of all quantities: of all slices, then of every client.

    Of all slices alone above `MOST_CLIENTS` clients.
    """
    methods = methods_of(metrics)
    names = client_names(methods)
    tables = []
    for client in (EVERYONE, *(names if len(names) <= MOST_CLIENTS else ())):
        rows = [method.rows[client] for method in methods if client in method.rows]
        kept = [{name: row[name] for name in KEPT if name in row} for row in rows]
        for table in method_tables({"rows": kept}):
            name = "All clients" if client == EVERYONE else client
            tables.append(dataclasses.replace(table, title=f"{name}: {table.title.lower()}"))
    return tables


def crowd_table(metrics: dict[str, Any]) -> Table | None:
    """PSNR by client (rows) and method (columns); None where Table 1 has room for every client."""
    methods = methods_of(metrics)
    names = client_names(methods)
    if len(names) <= MOST_CLIENTS:
        return None
    columns, groups = [], [("", 1)]
    for key, method in ((method.key, method) for method in methods):
        model, strategy = method_parts(key)
        group, head = (model, strategy) if strategy else ("", model)
        show = spread(2)
        columns.append(Column(head, lambda client, m=method: m.score(client, "psnr"), show, None))
        if group == groups[-1][0]:
            groups[-1] = (group, groups[-1][1] + 1)
        else:
            groups.append((group, 1))
    title = "PSNR (dB) of every client"
    return make_table(title, "Client", names, names, columns, groups=tuple(groups))


def _size(part: Any) -> int | None:
    """A count, or the length of a list of names."""
    return len(part) if isinstance(part, list) else part


def _factors(acquisition: dict[str, Any]) -> str:
    return ", ".join(f"{factor:g}×" for factor in acquisition["accelerations"])


def _sizes(methods: list[ReportedMethod]) -> str:
    """The number of scored slices of every client, if all methods agree on it."""
    rows = {tuple((c, row.get("n")) for c, row in m.rows.items()) for m in methods}
    counts = dict(rows.pop()) if len(rows) == 1 else {}
    if not counts or None in counts.values() or len(counts) > MOST_CLIENTS + 1:
        return ""
    return "; slices: " + ", ".join(f"{client} {n}" for client, n in counts.items())


def _comparison(
    title: str,
    methods: list[ReportedMethod],
    costs: list[Column],
    *,
    names: list[str] | None = None,
) -> Table:
    groups = [("", 1)]
    columns: list[Column] = []
    for quantity in QUALITY:
        found = _quality_columns(quantity, client_names(methods))
        columns += found
        groups.append((QUALITY[quantity][0], len(found)))
        if quantity == "psnr":
            columns.append(Column("worst client", _read_worst, _show_worst, max))
            groups[-1] = (QUALITY[quantity][0], len(found) + 1)
    columns += costs
    groups += [("", len(costs))] if costs else []
    names = names or [method_name(method.key) for method in methods]
    return make_table(title, "Method", names, methods, columns, groups=tuple(groups))


def _quality_columns(quantity: str, clients: list[str]) -> list[Column]:
    show = spread(QUALITY[quantity][1])
    everyone = Column("all", lambda m: m.score(EVERYONE, quantity), show, max)
    if len(clients) <= MOST_CLIENTS:
        return [
            Column(client, lambda m, c=client: m.score(c, quantity), show, max)
            for client in clients
        ] + [everyone]
    summaries = (("lowest", np.min), ("median", np.median), ("highest", np.max))

    def read(summary: Callable[[list[float]], float]) -> Callable[[ReportedMethod], float | None]:
        def value(method: ReportedMethod) -> float | None:
            known = [*method.scores(quantity).values()]
            return float(summary(known)) if known else None

        return value

    return [Column(head, read(summary), show, max) for head, summary in summaries] + [everyone]


def _read_worst(method: ReportedMethod) -> dict[str, Any] | None:
    found = method.worst()
    return None if found is None else {"client": found[0], "mean": found[1]}


def _show_worst(value: dict[str, Any]) -> str:
    return f"{value['client']} {value['mean']:.2f}"


def _cost_columns(methods: list[ReportedMethod], communication: dict[str, Any]) -> list[Column]:
    columns = [
        Column("Params", lambda m: m.cost("params"), short_number, min),
        Column("FLOPs", lambda m: m.cost("flops"), short_number, min),
        Column(
            "Bytes/round",
            lambda m: round_bytes(communication[m.key]) if m.key in communication else None,
            short_bytes,
            min,
        ),
    ]
    return [c for c in columns if any(c.read(method) for method in methods)]


def pooled(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics with the rows of all clients together alone: one per method."""
    rows = [row for row in metrics["rows"] if row.get("client", EVERYONE) == EVERYONE]
    return metrics | {"rows": rows}


def labeled_roster_table(roster: list[dict[str, Any]]) -> Table:
    """The clients: patients and slices of every split, and what each weighs."""
    total = sum(client["weight"] for client in roster) or 1
    columns = [
        Column(split, lambda c, s=split: len(c["patients"][s]), "{:d}".format, None)
        for split in SPLITS
    ]
    columns += [
        Column(split, lambda c, s=split: c["slices"][s], "{:d}".format, None) for split in SPLITS
    ]
    columns += [
        Column("size", lambda c: "×".join(map(str, c["shape"])), str, None),
        Column("share", lambda c: c["weight"] / total, "{:.1%}".format, None),
    ]
    groups = (("", 1), ("patients", 3), ("slices", 3), ("images", 1), ("average", 1))
    title = "The clients, and their share of the averages"
    names = [client["name"] for client in roster]
    return make_table(title, "Client", names, roster, columns, groups=groups)


def client_dice_table(metrics: dict[str, Any]) -> Table:
    """Average Dice of every method at every client, over all their volumes, and per class."""
    methods: dict[str, dict[str, dict[str, Any]]] = {}
    for row in metrics["rows"]:
        methods.setdefault(row_name(row), {})[row.get("client", EVERYONE)] = row
    clients = list(dict.fromkeys(client for rows in methods.values() for client in rows))
    classes = class_names(metrics)
    columns = [
        Column(client, lambda rows, c=client: _dice(rows.get(c)), "{:.3f}".format, max)
        for client in clients
    ] + [
        Column(class_title(k), lambda rows, k=k: rows[EVERYONE]["dice"][k], spread(3), max)
        for k in classes
    ]
    groups = (("", 1), ("average Dice at", len(clients)), ("all volumes, mean ± std", len(classes)))
    title = "Every method with the weights and the statistics that a client uses"
    return make_table(
        title, "Method", list(methods), list(methods.values()), columns, groups=groups
    )


def _dice(row: dict[str, Any] | None) -> float | None:
    return None if row is None else dice_of(row)
