"""The tables of a segmentation across clients: Dice of every method at every client."""

from typing import Any

from jaxnas.report.federated import SPLITS
from jaxnas.report.names import EVERYONE, row_name
from jaxnas.report.overlaps import class_names, class_title, dice_of
from jaxnas.report.tables import Column, Table, make_table, spread


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
