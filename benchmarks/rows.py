"""The rows of the table. A ratio is ours / peer: below 1 ours is faster, or smaller."""

import dataclasses
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.targets import Target, target_of
from benchmarks.timing import Outcome, Record, summary

BYTE_SHARES = {f"inference/{s}_bytes": f"inference/{s}" for s in ("csmri_a", "fedautomri")}


@dataclass(frozen=True)
class Row:
    """One figure, beside the peer's where there is one.

    `ours` and `peer` are medians in `unit`; `ratio`, `min` and `max` the median and the extremes of
    ours / peer over the rounds; `note` says what a reader must know, also why a figure is missing;
    `programs` holds everything that was measured of every program.
    """

    name: str
    unit: str = ""
    ours: float | None = None
    peer: float | None = None
    ratio: float | None = None
    min: float | None = None
    max: float | None = None
    ours_program: str = ""
    peer_program: str = ""
    note: str = ""
    programs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def speedup(self) -> float | None:
        """The factor by which ours is faster, or smaller."""
        return None if not self.ratio else 1 / self.ratio

    def target(self, suite: str) -> Target | None:
        """The target of this row, if it has one."""
        return target_of(self.name, suite)

    def verdict(self, suite: str) -> str:
        """`met`, `missed`, `not measured` or, without a target, nothing."""
        target = self.target(suite)
        return "" if target is None else target.verdict(self.speedup, self.ratio, self.ours)

    def to_json(self, suite: str) -> dict[str, Any]:
        """All of it, with the target and the verdict."""
        target = self.target(suite)
        return {
            **dataclasses.asdict(self),
            "speedup": self.speedup,
            "target": None if target is None else target.says(self.unit),
            "verdict": self.verdict(suite),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Row":
        """The row of `to_json`."""
        return cls(**{f.name: value[f.name] for f in dataclasses.fields(cls)})


def time_row(
    name: str,
    outcome: Outcome,
    *,
    peers: Container[str] | None = None,
    items: float | None = None,
    unit: str = "slices/s",
) -> Row:
    """The fastest of our programs against the fastest peer, of those named `peers` if any are.

    Shown in milliseconds of a run, or with `items` in items per second; the ratio is that of the
    times either way.
    """

    def shown(record: Record) -> float:
        seconds = summary(record.seconds)["median"]
        return items / seconds if items else 1e3 * seconds

    def ratios(ours: Record, peer: Record) -> dict[str, float]:
        return summary([a / b for a, b in zip(ours.seconds, peer.seconds)])

    return _row(name, outcome, peers, unit if items else "ms", shown, ratios)


def memory_row(name: str, outcome: Outcome) -> Row:
    """The peak memory of the same two programs, the library and compiling included."""

    def ratio(ours: Record, peer: Record) -> dict[str, float]:
        return summary([ours.peak_mib / peer.peak_mib])

    return _row(name, outcome, None, "MiB", lambda record: record.peak_mib, ratio)


def _row(
    name: str,
    outcome: Outcome,
    peers: Container[str] | None,
    unit: str,
    shown: Callable[[Record], float],
    ratios: Callable[[Record, Record], dict[str, float]],
) -> Row:
    fastest = sorted(outcome.records.values(), key=lambda r: summary(r.seconds)["median"])
    ours = [r for r in fastest if not r.program.is_peer]
    theirs = [r for r in fastest if r.program.is_peer and _named(r.program.name, peers)]
    row = Row(name, unit, programs=describe(outcome))
    if ours:
        row = dataclasses.replace(row, ours=shown(ours[0]), ours_program=ours[0].program.name)
    if not (ours and theirs):
        excuses = [text for program, text in outcome.excuses.items() if _named(program, peers)]
        return dataclasses.replace(row, note="; ".join(dict.fromkeys(excuses)))
    ratio = ratios(ours[0], theirs[0])
    return dataclasses.replace(
        row,
        peer=shown(theirs[0]),
        peer_program=theirs[0].program.name,
        ratio=ratio["median"],
        min=ratio["min"],
        max=ratio["max"],
    )


def _named(program: str, names: Container[str] | None) -> bool:
    return names is None or program in names


def byte_share_rows(rows: Iterable[Row]) -> list[Row]:
    """The share of the byte bound that the derived networks reach.

    The bound is the time in which the measured pass over memory moves the bytes that XLA counts.
    """
    found = {row.name: row for row in rows}
    copy, shares = found.get("ceiling/copy"), []
    for name, source in BYTE_SHARES.items():
        row = found.get(source)
        facts = row.programs.get(row.ours_program) if row else None
        if copy and copy.ours and facts and facts.get("bytes"):
            ceiling = 1e9 * max(copy.ours, copy.peer or 0.0)
            share = facts["bytes"] / facts["s"]["median"] / ceiling
            shares.append(Row(name, "of the byte bound", share))
    return shares


def describe(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """Every program's figures, or its excuse, as JSON."""
    described: dict[str, dict[str, Any]] = {
        name: {
            "s": summary(record.seconds),
            "rounds": len(record.seconds),
            "cold_s": record.cold_s,
            "ready_mib": record.ready_mib,
            "peak_mib": record.peak_mib,
            "gap": record.gap,
            **record.facts,
        }
        for name, record in outcome.records.items()
    }
    return described | {name: {"excuse": text} for name, text in outcome.excuses.items()}
