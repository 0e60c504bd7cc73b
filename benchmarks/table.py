"""The rows as Markdown: what was asked, and below it everything about every program."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.rows import Row

CONVENTION = (
    "A ratio is ours / peer within a round, its median over the rounds with least and greatest: "
    "below 1 ours is faster, or smaller; the speed-up is 1 / ratio. The peer of a row is the "
    "fastest of its programs. Results are compared before anything is timed."
)
NOTES = (
    "Cold: start of the process to the end of its first run, imports and compiling included. "
    "Peak: the most memory the process held, its library included; before: of that, before the "
    "first run. Gap: ‖difference‖ / ‖result of the first program‖ of the array where it is "
    "largest. Of matmul, of copy: the operations of the convolutions and products of one run, and "
    "the bytes as XLA counts them, without a loop in the program only, over the run's time, as a "
    "share of the measured ceilings."
)
NONE = "–"


def markdown(rows: Sequence[Row], suite: str, machine: dict[str, Any]) -> str:
    """The whole page."""
    ceilings = {
        row.name: max(row.ours or 0, row.peer or 0)
        for row in rows
        if row.name.startswith("ceiling/")
    }
    parts = [f"# Benchmarks, {suite}", f"`python -m benchmarks --suite {suite}`", CONVENTION]
    parts.append("\n".join(f"- {name}: {value}" for name, value in machine.items()))
    parts.append(_lines(HEADER, (_summary(row, suite) for row in rows)))
    parts.append(f"## Programs\n{NOTES}")
    parts.append(_lines(PROGRAM_HEADER, _programs(rows, ceilings)))
    return "\n\n".join(parts) + "\n"


HEADER = ("row", "ours", "peer", "unit", "ratio", "min–max", "speed-up", "target", "", "note")
PROGRAM_HEADER = (
    *("row", "program", "median ms", "min–max", "cold s", "compile s", "before MiB", "peak MiB"),
    *("of matmul", "of copy", "gap", "version"),
)


def _summary(row: Row, suite: str) -> Iterable[str]:
    target = row.target(suite)
    name = f"{number(row.peer)} ({row.peer_program})" if row.peer_program else number(row.peer)
    return (
        f"`{row.name}`",
        number(row.ours),
        name,
        row.unit,
        number(row.ratio),
        NONE if row.min is None else f"{number(row.min)}–{number(row.max)}",
        NONE if row.speedup is None else f"{row.speedup:.2f}×",
        NONE if target is None else target.says(row.unit),
        row.verdict(suite),
        row.note,
    )


def _programs(rows: Iterable[Row], ceilings: dict[str, float]) -> Iterable[Iterable[str]]:
    for row in rows:
        for name, facts in row.programs.items():
            if "excuse" in facts:
                yield (f"`{row.name}`", name, facts["excuse"], *[""] * 9)
                continue
            ms = {k: 1e3 * v for k, v in facts["s"].items()}
            yield (
                f"`{row.name}`",
                name,
                number(ms["median"]),
                f"{number(ms['min'])}–{number(ms['max'])}",
                number(facts["cold_s"]),
                number(facts.get("compile_s")),
                number(facts["ready_mib"]),
                number(facts["peak_mib"]),
                share(facts, "flop", ceilings.get("ceiling/matmul")),
                share(facts, "bytes", ceilings.get("ceiling/copy")),
                f"{facts['gap']:.0e}" if facts["gap"] else "0",
                str(facts.get("version", NONE)),
            )


def share(facts: dict[str, Any], what: str, ceiling: float | None) -> str:
    """The `what` of one run per second, over a ceiling in 10⁹ per second, in percent."""
    if facts.get(what) is None or not ceiling:
        return NONE
    return f"{100 * facts[what] / facts['s']['median'] / (1e9 * ceiling):.0f} %"


def number(value: float | None) -> str:
    """Three significant digits, and no more zeros than that; thousands in full."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _lines(header: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell or " " for cell in line) + " |" for line in lines)
