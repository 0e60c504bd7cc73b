"""The papers' tables from `metrics.json`: rows once, then Markdown or HTML.

Quality is mean ± standard deviation; NMSE is in units of 1e-2 and MSE in a power of ten that the
header states. The best value of a column is bold, and so is every value that prints the same.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from jaxnas.core.errors import UserError
from jaxnas.engine.rundir import RunDir
from jaxnas.report.names import EVERYONE, row_name

NOT_MEASURED = "–"
DENSE = 10  # more columns are set smaller


class Cell(NamedTuple):
    """One entry of a table; `broken`: it is outside of a limit."""

    text: str
    best: bool = False
    broken: bool = False


@dataclass(frozen=True)
class Table:
    """A title, the column heads, and rows of cells; the first column names the row.

    `groups` are (head, number of columns) of the groups that the columns form, if they do; a
    column of its own is a group without a head.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    groups: tuple[tuple[str, int], ...] = ()


class Column(NamedTuple):
    """A column: how it is read from what a row stands for, printed, compared and judged.

    `keeps` says of a value whether it is within the limit of its column, if there is one.
    """

    head: str
    read: Callable[[Any], Any]
    show: Callable[[Any], str]
    better: Callable[..., float] | None
    keeps: Callable[[float], bool] | None = None


def to_markdown(table: Table) -> str:
    """The table as GitHub Markdown under a bold title; the best values are bold, broken limits †.

    Markdown has no groups of columns: their heads stand before the heads of the columns.
    """
    heads = [" ".join(filter(None, pair)) for pair in zip(_group_heads(table), table.columns)]
    lines = [f"**{table.title}**", "", _pipe(heads)]
    lines.append(_pipe([":---"] + ["---:"] * (len(table.columns) - 1)))
    lines += [_pipe([f"**{_text(c)}**" if c.best else _text(c) for c in row]) for row in table.rows]
    return "\n".join(lines) + "\n"


def to_html(table: Table) -> str:
    """The table as an HTML `<table>` with a caption.

    The best values are `<strong>`, those outside of a limit red and marked †.
    """
    groups = "".join(
        f'<th scope="colgroup" colspan="{span}">{escape(head)}</th>' for head, span in table.groups
    )
    groups = f'<tr class="groups">{groups}</tr>\n' if groups else ""
    edges = [' class="edge"' if first else "" for first in _group_starts(table)]
    head = "".join(
        f'<th scope="col"{edge}>{escape(name)}</th>' for name, edge in zip(table.columns, edges)
    )
    body = "\n".join(f"<tr>{_html_row(row, edges)}</tr>" for row in table.rows)
    dense = "table dense" if len(table.columns) > DENSE else "table"
    return (
        f'<div class="{dense}"><table><caption>{escape(table.title)}</caption>\n'
        f"<thead>{groups}<tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def method_tables(metrics: dict[str, Any]) -> list[Table]:
    """Table I, all methods: first over all accelerations, then one table per acceleration."""
    rows = metrics["rows"]
    found = list(dict.fromkeys(row["acceleration"] for row in rows))
    found.sort(key=lambda a: (a != "all", a if a != "all" else 0))
    return [_method_table([r for r in rows if r["acceleration"] == a], a) for a in found]


def volume_tables(metrics: dict[str, Any]) -> list[Table]:
    """The scores under fastMRI's volume convention, in the same order as `method_tables`."""
    return method_tables({"rows": volume_rows(metrics["rows"])})


def volume_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the scores of the volume convention in place of the slices', and no costs."""
    return [
        {k: row[k] for k in ("model", "strategy", "client", "acceleration") if k in row}
        | {k: v for k, v in row["volume"].items() if k != "mse"}
        for row in rows
        if row.get("volume")
    ]


def compare_runs(run_dirs: Sequence[str | Path], *, by: str = "nodes") -> Table:
    """Table II (`by="nodes"`) or Table III (`by="space"`): the derived networks of several runs.

    Each run contributes its `derived` row over all accelerations; the runs are ordered by node
    count or by the name of the operation space. A run without metrics or genotype is a UserError.
    """
    heads = {"nodes": "Nodes", "space": "Operation space"}
    if by not in heads:
        raise ValueError(f"by must be one of {sorted(heads)}, got {by!r}")
    found = sorted(
        (_run_key(Path(run), by), i, _derived(Path(run))) for i, run in enumerate(run_dirs)
    )
    rows = [row for _, _, row in found]
    titles = {
        "nodes": "Searched cells with different numbers of nodes (mean ± std)",
        "space": "Searched cells from different operation spaces (mean ± std)",
    }
    columns = _quality_columns(rows) + _cost_columns(rows)
    return make_table(titles[by], heads[by], [str(key) for key, _, _ in found], rows, columns)


def timing_table(timings: dict[str, dict[str, float]], *, unit: str = "step") -> Table:
    """Compile and step times of every stage, as `timings.json` lists them.

    `unit` is what the run counts: steps, or rounds.
    """
    heads = {
        "compile_s": "Compile (s)",
        "steps": f"{unit.capitalize()}s",
        "steady_s": "Steady (s)",
        "step_ms": f"Per {unit} (ms)",
        "data_share": "Waiting for data",
    }
    shows = {"steps": "{:,d}".format, "data_share": "{:.1%}".format}
    names = [k for k in heads if any(k in entry for entry in timings.values())]
    columns = [
        Column(heads[k], lambda e, k=k: e.get(k), shows.get(k, "{:,.1f}".format), None)
        for k in names
    ]
    return make_table(
        "Compilation is timed apart from the steady steps",
        "Stage or model",
        list(timings),
        list(timings.values()),
        columns,
    )


def plain_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Every row of metrics.json with every number or word that any of them has, as it stands."""
    keys = dict.fromkeys(key for row in rows for key in row if key not in ("model", "strategy"))
    columns = [
        Column(key.replace("_", " "), lambda row, key=key: row.get(key), _plainly, None)
        for key in keys
    ]
    return make_table("All test data", "Method", [row_name(row) for row in rows], rows, columns)


def _plainly(value: Any) -> str:
    number = mean_of(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        return str(value)
    return str(number) if isinstance(number, int) else spread(4)(value)


def make_table(
    title: str,
    head: str,
    names: Sequence[str],
    rows: Sequence[Any],
    columns: Sequence[Column],
    *,
    groups: tuple[tuple[str, int], ...] = (),
) -> Table:
    """Fills `columns` from `rows`; the first column has the `head` and the rows' `names`."""
    filled = [_fill(column, rows) for column in columns]
    body = tuple((Cell(name), *cells) for name, *cells in zip(names, *filled, strict=True))
    return Table(title, (head, *(column.head for column in columns)), body, groups)


def spread(digits: int, *, unit: float = 1.0) -> Callable[[Any], str]:
    """Prints `{"mean", "std"}` as mean ± std in multiples of `unit`, a bare number as it is."""

    def show(value: Any) -> str:
        mean = f"{known(mean_of(value)) / unit:.{digits}f}"
        std = value.get("std") if isinstance(value, dict) else None
        return mean if std is None else f"{mean} ± {std / unit:.{digits}f}"

    return show


def mean_of(value: Any) -> float | None:
    """The mean of a `{"mean", "std"}` entry or of a bare number; None where not measured."""
    return value.get("mean") if isinstance(value, dict) else value


def known(value: float | None) -> float:
    """A number of a row that was picked for having it; ValueError for None."""
    if value is None:
        raise ValueError("expected a number that was measured, found none")
    return value


def speed_name(acceleration: Any) -> str:
    """The name of an acceleration, which may be "all", in prose."""
    return (
        "all accelerations" if acceleration == "all" else f"{float(acceleration):g}× acceleration"
    )


def short_number(value: float | None) -> str:
    """A count with four significant digits and K, M or G, as the papers print them."""
    if not value:
        return NOT_MEASURED
    number, letter = scaled(value)
    return f"{number:#.4g}{letter}" if letter else f"{number:g}"


def scaled(value: float) -> tuple[float, str]:
    """A count in thousands, millions or billions, and the letter for it."""
    units = ((1e9, "G"), (1e6, "M"), (1e3, "K"))
    size, letter = next((unit for unit in units if value >= unit[0]), (1.0, ""))
    return value / size, letter


def _method_table(rows: list[dict[str, Any]], acceleration: Any) -> Table:
    counts = {row["n"] for row in rows if "n" in row}
    count = f", n = {counts.pop()}" if len(counts) == 1 else ""
    title = f"{speed_name(acceleration).capitalize()}{count} (mean ± std)"
    columns = _quality_columns(rows) + _cost_columns(rows)
    return make_table(title, "Model", [row_name(row) for row in rows], rows, columns)


def _quality_columns(rows: list[dict[str, Any]]) -> list[Column]:
    power = _common_power([mean_of(row.get("mse")) for row in rows])
    unit = f" (×1e{power})" if power else ""
    columns = [
        Column(f"MSE{unit}", _reader("mse"), spread(3, unit=10.0**power), min),
        Column("NMSE (×1e-2)", _reader("nmse"), spread(3, unit=1e-2), min),
        Column("PSNR (dB)", _reader("psnr"), spread(2), max),
        Column("SSIM", _reader("ssim"), spread(4), max),
    ]
    return [c for c in columns if any(mean_of(c.read(row)) is not None for row in rows)]


def _cost_columns(rows: list[dict[str, Any]]) -> list[Column]:
    columns = [
        Column("MACs", _reader("macs"), short_number, min),
        Column("FLOPs", _reader("flops"), short_number, min),
        Column("FLOPs + act.", _reader("flops_with_activations"), short_number, min),
        Column("Params", _reader("params"), short_number, min),
    ]
    return [c for c in columns if any(c.read(row) for row in rows)]


def _reader(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda row: row.get(name) or None


def _common_power(values: list[float | None]) -> int:
    """The power of ten that makes the smallest positive value lie in [1, 10)."""
    positive = [v for v in values if v]
    return math.floor(math.log10(min(positive))) if positive else 0


def _fill(column: Column, rows: Sequence[Any]) -> list[Cell]:
    """One column of cells; several rows are needed before one of them can be the best."""
    values = [column.read(row) for row in rows]
    texts = [NOT_MEASURED if mean_of(v) is None else column.show(v) for v in values]
    known = [mean_of(v) for v in values if mean_of(v) is not None]
    broken = [_breaks(column, mean_of(v)) for v in values]
    if column.better is None or len(known) < 2:
        return [Cell(text, broken=b) for text, b in zip(texts, broken)]
    best = column.better(known)
    shown = next(_head(t) for t, v in zip(texts, values) if mean_of(v) == best)
    return [Cell(text, _head(text) == shown, b) for text, b in zip(texts, broken)]


def _breaks(column: Column, value: float | None) -> bool:
    return column.keeps is not None and value is not None and not column.keeps(value)


def _text(cell: Cell) -> str:
    return f"{cell.text} †" if cell.broken else cell.text


def _head(text: str) -> str:
    return text.partition(" ±")[0]


def _run_key(run: Path, by: str) -> int | str:
    genotype = RunDir(run).genotype.read()
    return len(genotype.cells[0][1]) if by == "nodes" else genotype.space


def _derived(run: Path) -> dict[str, Any]:
    metrics = RunDir(run).metrics
    for row in metrics.read()["rows"]:
        everyone = row.get("client", EVERYONE) == EVERYONE
        if row["model"] == "derived" and row["acceleration"] == "all" and everyone:
            return row
    raise UserError(
        f"{metrics}: no row with model 'derived' and acceleration 'all'; "
        "evaluate the derived network of this run first"
    )


def _group_heads(table: Table) -> list[str]:
    """The group head of every column; all empty in a table without groups."""
    groups = table.groups or (("", len(table.columns)),)
    return [head for head, span in groups for _ in range(span)]


def _group_starts(table: Table) -> list[bool]:
    """True for the columns that begin a group other than the first."""
    spans = [span for _, span in table.groups] or [len(table.columns)]
    return [group > 0 and place == 0 for group, span in enumerate(spans) for place in range(span)]


def _pipe(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _html_row(row: Sequence[Cell], edges: Sequence[str]) -> str:
    texts = [f"<strong>{escape(_text(c))}</strong>" if c.best else escape(_text(c)) for c in row]
    texts = [
        f'<span class="broken">{text}</span>' if c.broken else text for c, text in zip(row, texts)
    ]
    cells = [f"<td{edge}>{text}</td>" for text, edge in zip(texts, edges)]
    return f'<th scope="row">{texts[0]}</th>' + "".join(cells[1:])
