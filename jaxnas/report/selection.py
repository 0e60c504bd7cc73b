"""The candidates of a selection, from candidates.csv: their table, and their scores over the rungs.

A candidate is trained and scored on the validation volumes at one rung after the other, until it is
dropped; the best at the last rung is selected. More is better whatever the task.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxnas.core.errors import UserError
from jaxnas.engine.rundir import TableFile
from jaxnas.report import style
from jaxnas.report.names import model_title
from jaxnas.report.tables import Column, Table, make_table, short_number
from jaxnas.search.halving import DIVERGED, SELECTED
from jaxnas.search.pool import NEIGHBOUR, SEARCHED
from jaxnas.search.registry import RANDOM
from jaxnas.spaces.genotype import Arrangement, genotype_from_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

FOUND = (RANDOM, SEARCHED, NEIGHBOUR)  # every other origin is the name of a hand-made network
_COUNTED = ("cascades", "cells", "channels")  # of an arrangement, the outermost first
_STAR: Any = {"linestyle": "", "marker": "*", "markersize": 16, "markeredgewidth": 0.8}
_STAR |= {"markeredgecolor": style.BLACK}
_CROSS: Any = {"linestyle": "", "marker": "x", "markersize": 7, "markeredgewidth": 1.8}
_BESIDE = 1.025  # the step from one origin to the next along the axis, as a factor
_SCORE = re.compile(r"score_(\d+)")


class Quantity(NamedTuple):
    """The score of a task: its head in tables, the unit of a difference, and the digits shown."""

    head: str
    unit: str
    digits: int

    def show(self, score: float) -> str:
        """A score as tables print it."""
        return f"{score:.{self.digits}f}"


SCORES = {
    "reconstruction": Quantity("PSNR (dB)", " dB", 2),
    "segmentation": Quantity("mean Dice", " Dice", 3),
}
PLAIN_SCORE = Quantity("score", "", 3)  # of a task that the report knows nothing of


@dataclass(frozen=True)
class ReportedCandidate:
    """A row of candidates.csv; `scores` are those of the rungs that it reached, `ms` is None where
    it was not measured."""

    name: str
    origin: str
    macs: int
    params: int
    ms: float | None
    scores: tuple[float, ...]
    outcome: str
    arrangement: Arrangement

    @property
    def title(self) -> str:
        """A reader's name of where it comes from."""
        return self.origin if self.origin in FOUND else model_title(self.origin)


@dataclass(frozen=True)
class Selection:
    """All candidates, the best first, and the `lengths` of the rungs, in `unit`, of a whole
    training; `whole` is None where the configuration does not tell it."""

    candidates: tuple[ReportedCandidate, ...]
    lengths: tuple[int, ...]
    unit: str
    whole: int | None
    quantity: Quantity

    @property
    def selected(self) -> ReportedCandidate | None:
        """The candidate that was selected; None before the end."""
        return next((c for c in self.candidates if c.outcome == SELECTED), None)

    def at(self, rung: int) -> list[ReportedCandidate]:
        """The candidates that were scored at a rung."""
        return [c for c in self.candidates if len(c.scores) > rung]


def read_selection(file: TableFile, *, task: str, unit: str, whole: int | None) -> Selection | None:
    """The selection of a run, None without one; UserError for a table of something else."""
    rows = file.read() if file.exists() else []
    if not rows:
        return None
    lengths = tuple(int(found[1]) for head in rows[0] if (found := _SCORE.fullmatch(head)))
    try:
        candidates = sorted((_candidate(row, lengths) for row in rows), key=_merit)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file}: not a table of candidates ({error!r}); select again") from None
    return Selection(tuple(candidates), lengths, unit, whole, SCORES.get(task, PLAIN_SCORE))


def selection_table(selection: Selection) -> Table:
    """Every candidate, the best first: what it is, what it costs, its scores and how it ended."""
    candidates, show = selection.candidates, selection.quantity.show
    facts = [
        Column("Origin", lambda c: c.title, str, None),
        Column("Arrangement", lambda c: arrangement_text(c.arrangement) or None, str, None),
        Column("MACs", lambda c: c.macs, short_number, None),
        Column("Params", lambda c: c.params, short_number, None),
        Column("Latency (ms)", lambda c: c.ms, "{:.2f}".format, None),
    ]
    facts = [column for column in facts if any(column.read(c) is not None for c in candidates)]
    rungs = [
        Column(f"{length:,} {selection.unit}", _score_reader(rung), show, max)
        for rung, length in enumerate(selection.lengths)
    ]
    outcome = Column("Outcome", lambda c: c.outcome or None, str, None)
    groups = [("", 1 + len(facts))]
    groups += [(f"validation {selection.quantity.head} after", len(rungs)), ("", 1)]
    return make_table(
        f"The {len(candidates)} candidates, best first",
        "Candidate",
        [candidate.name for candidate in candidates],
        candidates,
        [*facts, *rungs, outcome],
        groups=tuple(groups),
    )


def arrangement_text(arrangement: Arrangement) -> str:
    """An arrangement in words.

    >>> arrangement_text((("cascades", 6), ("cells", 1), ("lam", 0.5), ("shared", True)))
    '6 cascades × 1 cell, lam 0.5, shared'
    """
    values = dict(arrangement)
    sizes = [
        f"{values[key]} {key.removesuffix('s') if values[key] == 1 else key}"
        for key in _COUNTED
        if key in values
    ]
    words = [
        _words(key, value)
        for key, value in arrangement
        # Cascades of their own are what a reader expects.
        if key not in _COUNTED and value is not None and (key, value) != ("shared", False)
    ]
    return ", ".join(filter(None, [" × ".join(sizes), *words]))


@style.styled
def draw_selection(selection: Selection) -> "Figure":
    """The score of every candidate at every rung that it reached, a line each.

    Colours tell origins, a star the one that was selected, a cross the last score of one that
    diverged.
    """
    figure = style.new_figure(8.2, 3.9)
    axes = figure.subplots()
    colours = origin_colours(selection.candidates)
    lengths = selection.lengths
    for place, (origin, colour) in enumerate(colours.items()):
        # Beside those of other origins, where equal scores would hide one another.
        shift = _BESIDE ** (place - (len(colours) - 1) / 2)
        for candidate in [c for c in selection.candidates if c.origin == origin]:
            _plot_candidate(axes, [shift * length for length in lengths], candidate, colour)
    axes.set(xscale="log", xlim=(lengths[0] / 1.25, lengths[-1] * 1.25))
    axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
    axes.set_xticks([], minor=True)
    axes.margins(y=0.08)
    of = f" (of {selection.whole:,})" if selection.whole else ""
    axes.set_xlabel(f"{selection.unit} of training{of}")
    axes.set_ylabel(f"validation {selection.quantity.head}")
    axes.legend(
        handles=_selection_handles(selection, colours),
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
    )
    return figure


def origin_colours(candidates: Iterable[ReportedCandidate]) -> dict[str, str]:
    """The colour of every origin, in the order of the legend: chance grey, hand-made networks as
    in every other figure."""
    origins = {candidate.origin for candidate in candidates}
    own = {RANDOM: style.GREY, SEARCHED: style.VERMILLION, NEIGHBOUR: style.ORANGE}
    pens = style.pens(sorted(origins - own.keys()))
    found = {origin: colour for origin, colour in own.items() if origin in origins}
    return found | {origin: pen.colour for origin, pen in pens.items()}


def _candidate(row: dict[str, str], lengths: Sequence[int]) -> ReportedCandidate:
    scores = [row[f"score_{length}"] for length in lengths]
    return ReportedCandidate(
        name=row["candidate"],
        origin=row["origin"],
        macs=int(row["macs"]),
        params=int(row["params"]),
        ms=float(row["ms"]) if row.get("ms") else None,
        scores=tuple(float(score) for score in scores if score),
        outcome=row["outcome"],
        arrangement=_arrangement_of(row["genotype"]),
    )


def _merit(candidate: ReportedCandidate) -> tuple[bool, bool, int, float]:
    """The key that sorts the best first: who was selected, then who came farthest, then who scored
    best there; who diverged comes last, however well it began."""
    return (
        candidate.outcome != SELECTED,
        candidate.outcome == DIVERGED,
        -len(candidate.scores),
        -candidate.scores[-1] if candidate.scores else 0.0,
    )


def _arrangement_of(genotype: str) -> Arrangement:
    return genotype_from_json(json.loads(genotype)).arrangement or ()


def _words(key: str, value: Any) -> str:
    """A value of an arrangement that is no size: `recursive`, `lam 0.5`, `no bias`."""
    name = key.replace("_", " ")
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return value if isinstance(value, str) else f"{name} {value:g}"


def _score_reader(rung: int) -> Callable[[ReportedCandidate], float | None]:
    return lambda candidate: candidate.scores[rung] if len(candidate.scores) > rung else None


def _plot_candidate(
    axes: "Axes", places: Sequence[float], candidate: ReportedCandidate, colour: str
) -> None:
    """A thin line with a dot at every rung; how it ended is marked at its end."""
    if not candidate.scores:  # it diverged at once
        return
    best = candidate.outcome == SELECTED
    reached = places[: len(candidate.scores)]
    width, over = (2.2, 5) if best else (1.0, 3 - (candidate.origin == RANDOM))
    dot = {"markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.6}
    axes.plot(reached, candidate.scores, "-o", color=colour, linewidth=width, zorder=over, **dot)
    end, score = reached[-1], candidate.scores[-1]
    if best:
        axes.plot(end, score, color=colour, zorder=6, **_STAR)
    elif candidate.outcome == DIVERGED:
        axes.plot(end, score, color=colour, zorder=over + 1, **_CROSS)


def _selection_handles(selection: Selection, colours: dict[str, str]) -> list["Line2D"]:
    """The legend: every origin with the number of its candidates, then the marks that are there."""
    from matplotlib.lines import Line2D

    counts = Counter(candidate.origin for candidate in selection.candidates)
    titles = {candidate.origin: candidate.title for candidate in selection.candidates}
    handles = [
        Line2D([], [], marker="o", color=colour, label=f"{titles[origin]} ({counts[origin]})")
        for origin, colour in colours.items()
    ]
    outcomes = {candidate.outcome for candidate in selection.candidates}
    marks = {SELECTED: _STAR, DIVERGED: _CROSS}
    for outcome in [outcome for outcome in marks if outcome in outcomes]:
        handles.append(Line2D([], [], color=style.BLACK, label=outcome, **marks[outcome]))
    return handles
