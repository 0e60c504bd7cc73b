"""The tables of RT-DNAS from `metrics.json`: Dice, latency and throughput, and what breaks a limit.

A row is a network. One with a `decoder` was decoded from a search: `model` says of which, `paths`
of how many paths it consists; `decoder` "random" marks networks that only show what chance finds.
"""

from collections.abc import Callable, Iterable
from typing import Any

from jaxnas.report.names import row_name
from jaxnas.report.tables import (
    NOT_MEASURED,
    Column,
    Table,
    known,
    make_table,
    mean_of,
    short_number,
    spread,
)
from jaxnas.search.registry import DECODERS, RANDOM

Row = dict[str, Any]
TITLES = {"rv": "RV", "myo": "MYO", "lv": "LV", "mean": "Average"}  # others go by their names
LIMITS = {"latency_ms": 50.0, "throughput_fps": 22.0}
COSTS = [
    Column("Params", lambda row: row.get("params"), short_number, min),
    Column("MACs", lambda row: row.get("macs"), short_number, min),
]
SCOPES = {
    "model": "network alone",
    "transfer": "with the copies from and to the host",
    "end_to_end": "from the scanned frame to its labels",
}


def latency_of(row: Row) -> float | None:
    """The median latency of a row in ms; None where it was not measured."""
    return (row.get("latency_ms") or {}).get("p50")


def throughput_of(row: Row) -> float | None:
    """Frames a second; None where they were not measured."""
    return row.get("throughput_fps")


def dice_of(row: Row, *, name: str = "mean") -> float | None:
    """The mean Dice of a class, or over the classes."""
    return mean_of((row.get("dice") or {}).get(name))


def heads(rows: Iterable[Row]) -> dict[str, str]:
    """The heads of columns by what they read of a row: every class, and `mean` over the classes."""
    names = dict.fromkeys(name for row in rows for name in row.get("dice") or {} if name != "mean")
    return {name: class_title(name) for name in (*names, "mean")}


def class_names(metrics: dict[str, Any]) -> tuple[str, ...]:
    """The names of the labels 1, 2, … of an evaluation."""
    return tuple(name for name in heads(metrics["rows"]) if name != "mean")


def class_title(name: str) -> str:
    """A reader's name of a class."""
    return TITLES.get(name, name)


def is_cardiac(metrics: dict[str, Any]) -> bool:
    """True for an evaluation of hearts at two moments, whose ejection fractions are known."""
    return any(row.get("ejection_fraction") for row in metrics["rows"])


def limits_of(metrics: dict[str, Any]) -> dict[str, float]:
    """The largest `latency_ms` and the least `throughput_fps`; the paper's where none are given."""
    return LIMITS | (metrics.get("limits") or {})


def is_valid(row: Row, limits: dict[str, float]) -> bool:
    """True if a network was measured to keep both limits."""
    latency, rate = latency_of(row), throughput_of(row)
    return (
        latency is not None
        and rate is not None
        and latency <= limits["latency_ms"]
        and rate >= limits["throughput_fps"]
    )


def is_random(row: Row) -> bool:
    """True for the row of a network drawn at random."""
    return row.get("decoder") == RANDOM


def is_searched(row: Row) -> bool:
    """True for the row of a network that this run decoded, not of a baseline or a named one."""
    decoded = row.get("decoder") in DECODERS and not is_random(row)
    return decoded and row["model"].startswith("derived")


def is_found(row: Row) -> bool:
    """True for the row of a searched network: decoded by this run, or `derived`, whose decoder the
    row does not tell."""
    return is_searched(row) or row["model"] == "derived"


def network_name(row: Row) -> str:
    """Readers' name: `Genetic (Nₗ = 5)`, `Constrained (≤ 30 ms)`, `Random 2 (Nₗ = 3)`, `MS-NAS`."""
    paths = f" (Nₗ = {row['paths']})" if row.get("paths") else ""
    if is_random(row):
        return row["model"].replace("_", " ").capitalize() + paths
    if not is_searched(row):
        return row_name(row)
    if row.get("budget_ms"):
        return f"{DECODERS.title(row['decoder'])} (≤ {row['budget_ms']:g} ms)"
    return DECODERS.title(row["decoder"]) + paths


def decoder_table(metrics: dict[str, Any]) -> Table | None:
    """Table 1: Dijkstra against the genetic algorithm by number of paths; None without both."""
    rows = [
        row
        for row in metrics["rows"]
        if is_searched(row) and row["decoder"] in ("dijkstra", "ga") and row.get("paths")
    ]
    if len({row["decoder"] for row in rows}) < 2:
        return None
    rows.sort(key=lambda row: (row["decoder"] != "dijkstra", row["paths"]))
    title = "The same cells with paths chosen by Dijkstra and by the genetic algorithm"
    return _table(title, rows, limits_of(metrics), costs=[])


def network_table(metrics: dict[str, Any]) -> Table:
    """Table 2: baselines first, then the searched networks; those of Dijkstra only where Table 1
    does not show them already."""
    hidden = ("dijkstra",) if decoder_table(metrics) else ()
    rows = [
        row
        for row in metrics["rows"]
        if not is_random(row) and not (is_searched(row) and row["decoder"] in hidden)
    ]
    rows.sort(key=is_searched)
    counts = {row.get("n") for row in rows}
    count = f", n = {counts.pop()} volumes" if len(counts) == 1 and None not in counts else ""
    return _table(f"Networks{count} (mean ± std)", rows, limits_of(metrics), costs=COSTS)


def fold_table(metrics: dict[str, Any]) -> Table | None:
    """A cross-validation: Dice over the folds, and fold by fold; None without folds."""
    rows = [row for row in metrics["rows"] if row.get("folds") and not is_random(row)]
    if not rows:
        return None
    numbers = rows[0]["folds"]["numbers"]
    columns = [
        Column(head, lambda row, k=name: row["folds"]["dice"][k], spread(3), max)
        for name, head in heads(rows).items()
    ] + [
        Column(f"fold {fold}", _fold_reader(place), "{:.3f}".format, max)
        for place, fold in enumerate(numbers)
    ]
    groups = [("", 1), ("mean ± std over folds", len(columns) - len(numbers))]
    groups.append(("average Dice of", len(numbers)))
    names = [network_name(row) for row in rows]
    title = f"Cross-validation, {len(numbers)} fold{'s' if len(numbers) > 1 else ''}"
    return make_table(title, "Network", names, rows, columns, groups=tuple(groups))


def random_table(metrics: dict[str, Any]) -> Table | None:
    """Networks drawn at random, best Dice first, to show what chance finds; None without any."""
    rows = sorted(filter(is_random, metrics["rows"]), key=lambda row: -(dice_of(row) or 0.0))
    title = "Random cells with random paths, best first"
    return _table(title, rows, limits_of(metrics), costs=COSTS) if rows else None


def distance_table(metrics: dict[str, Any]) -> Table:
    """The 95 % Hausdorff distance, how often a class is missing, and ejection fractions if any."""
    rows = [row for row in metrics["rows"] if not is_random(row)]
    classes = class_names(metrics)
    columns = [
        Column(head, lambda row, k=name: (row.get("hd95") or {}).get(k), spread(2), min)
        for name, head in heads(rows).items()
    ]
    groups = [("", 1), ("HD95 (mm)", len(columns))]
    columns += [
        Column(class_title(name), lambda row, k=name: _empty_text(row, k), str, None)
        for name in classes
    ]
    groups.append(("empty on one side / both", len(classes)))
    cavities = {name for row in rows for name in row.get("ejection_fraction") or {}}
    for name in reversed([name for name in classes if name in cavities]):
        head = class_title(name)
        columns += [
            Column(f"{head} r", _ejection_reader(name, "pearson"), "{:.3f}".format, max),
            Column(f"{head} bias", _ejection_reader(name, "bias"), "{:+.1f}".format, None),
        ]
    title = "Distances and empty classes"
    if cavities:
        groups.append(("ejection fraction (%)", 2 * len(cavities)))
        title = "Distances, empty classes and ejection fractions"
    names = [network_name(row) for row in rows]
    return make_table(title, "Network", names, rows, columns, groups=tuple(groups))


def latency_tables(metrics: dict[str, Any]) -> list[Table]:
    """The percentiles of latency and the throughput per scope, for a slice and for a stack."""
    rows = [row for row in metrics["rows"] if not is_random(row) and row.get("timings")]
    found = []
    for scope, words in SCOPES.items():
        timed = [row for row in rows if any(t["scope"] == scope for t in row["timings"])]
        if not timed:
            continue
        columns, groups = [], [("", 1)]
        for unit in ("slice", "stack"):
            columns += [
                Column(head, _timing_reader(scope, unit, key), show, better)
                for head, key, show, better in (
                    ("p50", "p50", "{:.2f}".format, min),
                    ("p90", "p90", "{:.2f}".format, min),
                    ("p99", "p99", "{:.2f}".format, min),
                    ("n", "n", "{:d}".format, None),
                    ("FPS", "throughput_fps", "{:.1f}".format, max),
                )
            ]
            groups.append((f"one {unit}{_slices(timed, scope, unit)}, ms", 5))
        names = [network_name(row) for row in timed]
        title = f"Latency, {words}"
        found.append(make_table(title, "Network", names, timed, columns, groups=tuple(groups)))
    return found


def summarise_segmentation(metrics: dict[str, Any]) -> list[str]:
    """The evaluation in sentences: the best networks within and regardless of limits."""
    limits = limits_of(metrics)
    rows = [r for r in metrics["rows"] if not is_random(r) and dice_of(r) is not None]
    searched = [r for r in rows if is_found(r)]
    baselines = [r for r in rows if r not in searched]
    bounds = f"{limits['latency_ms']:g} ms and {limits['throughput_fps']:g} FPS"
    lines = []
    for what, found in (("searched network", searched), ("baseline", baselines)):
        if not found:
            continue
        valid = [row for row in found if is_valid(row, limits)]
        if valid:
            lines.append(f"The best {what} within {bounds}, {_facts(_best(valid))}.")
        elif any(latency_of(row) is not None for row in found):
            lines.append(f"No {what} keeps {bounds}; the best one, {_facts(_best(found))}.")
        else:
            lines.append(f"The best {what}, {_facts(_best(found))}.")
    drawn = [r for r in metrics["rows"] if is_random(r) and dice_of(r) is not None]
    if drawn:
        lines.append(f"The best of {len(drawn)} random networks, {_facts(_best(drawn))}.")
    return lines


def _best(rows: Iterable[Row]) -> Row:
    return max(rows, key=lambda row: known(dice_of(row)))


def _facts(row: Row) -> str:
    latency, rate = latency_of(row), throughput_of(row)
    speed = "" if latency is None else f", at {latency:.1f} ms"
    speed += "" if rate is None else f" and {rate:.1f} FPS"
    size = f", with {short_number(row['params'])} parameters" if row.get("params") else ""
    return f"{network_name(row)}, reaches a mean Dice of {dice_of(row):.3f}{speed}{size}"


def _table(title: str, rows: list[Row], limits: dict[str, float], *, costs: list[Column]) -> Table:
    columns = [
        Column(head, lambda row, k=name: (row.get("dice") or {}).get(k), spread(3), max)
        for name, head in heads(rows).items()
    ]
    columns += [
        Column("LT (ms)", latency_of, _figures, min, lambda x: x <= limits["latency_ms"]),
        Column(
            "TP (FPS)", throughput_of, "{:.1f}".format, max, lambda x: x >= limits["throughput_fps"]
        ),
    ]
    kept = [c for c in costs if any(c.read(row) for row in rows)]
    return make_table(title, "Network", [network_name(r) for r in rows], rows, columns + kept)


def _figures(value: float) -> str:
    """Milliseconds as the paper prints them, with more digits where they are few."""
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _fold_reader(place: int) -> Callable[[Row], float | None]:
    return lambda row: row["folds"]["dice"]["mean"]["values"][place]


def _empty_text(row: Row, name: str) -> str:
    counts = (row.get("empty") or {}).get(name)
    return f"{counts['one']} / {counts['both']}" if counts else NOT_MEASURED


def _ejection_reader(name: str, key: str) -> Callable[[Row], float | None]:
    return lambda row: ((row.get("ejection_fraction") or {}).get(name) or {}).get(key)


def _timing_reader(scope: str, unit: str, key: str) -> Callable[[Row], float | None]:
    def read(row: Row) -> float | None:
        for entry in row["timings"]:
            if (entry["scope"], entry["unit"]) == (scope, unit):
                return entry[key]
        return None

    return read


def _slices(rows: Iterable[Row], scope: str, unit: str) -> str:
    """The number of slices of a stack as ` of <n>`, if all agree."""
    counts = {
        entry["shape"][0]
        for row in rows
        for entry in row["timings"]
        if (entry["scope"], entry["unit"]) == (scope, unit)
    }
    return f" of {counts.pop()}" if unit == "stack" and len(counts) == 1 else ""
