"""The sentences on whether a selection paid: against chance, and against what is made by hand.

None of them claims significance: every network is trained once, from one seed.
"""

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from jaxnas.models.registry import LABEL_MODELS, MODELS
from jaxnas.report.names import EVERYONE, method_key, row_name
from jaxnas.report.overlaps import dice_of
from jaxnas.report.selection import FOUND, Quantity, ReportedCandidate, Selection
from jaxnas.report.tables import known, mean_of, short_number
from jaxnas.search.registry import RANDOM

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


class Gain(NamedTuple):
    """The difference in score between the selected network and what is called `over`; `where` it
    was taken (`after 133 steps`), and of what it is the `best`."""

    over: str
    where: str
    value: float
    best: str = ""

    def describe(self, quantity: Quantity) -> str:
        """`0.21 dB above dccnn`, as far as the printed digits tell."""
        size = quantity.show(abs(self.value))
        if not float(size):
            return f"level with {self.over}"
        return f"{size}{quantity.unit} {'above' if self.value > 0 else 'below'} {self.over}"

    def sentence(self, quantity: Quantity) -> str:
        """The difference as a sentence."""
        return f"{self.where.capitalize()} it is {self.describe(quantity)}, the best {self.best}."

    def paid(self, quantity: Quantity) -> bool:
        """True for a difference that is positive as it prints."""
        return float(quantity.show(self.value)) > 0


def summarise_selection(selection: Selection, metrics: dict[str, Any] | None) -> list[str]:
    """The sentences on a selection and whether it paid; none before a network is selected.

    Scores of the validation volumes are compared at a rung that both networks reached: with the
    random ones at the first, where all were trained. Those of the test volumes come from `metrics`.
    """
    chosen, quantity = selection.selected, selection.quantity
    if chosen is None:
        return []
    tested = [row for row in (metrics or {"rows": []})["rows"] if _is_overall(row)]
    derived = next((row for row in tested if row["model"] == "derived"), None)
    chance, hand = _random_gain(selection, chosen), _hand_made_gain(selection, chosen)
    test = _test_gain(derived, tested, _costs(metrics)) if derived else None
    lines = [_ranking(selection, chosen)]
    lines += [gain.sentence(quantity) for gain in (hand, test) if gain]
    if derived and not test:
        lines.append("No hand-made network at no more cost was tested beside it.")
    found = [gain for gain in (chance, hand, test) if gain]
    return [*lines, _verdict(quantity, chosen, found, tested=test is not None)]


def ordinal(number: int) -> str:
    """A place in a ranking, in words as far as the ninth.

    >>> ordinal(1), ordinal(11), ordinal(22)
    ('first', '11th', '22nd')
    """
    if number <= len(ORDINALS):
        return ORDINALS[number - 1]
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def _ranking(selection: Selection, chosen: ReportedCandidate) -> str:
    """The place at the first rung, against all and against chance; then that at the last."""
    scores = [candidate.scores[0] for candidate in selection.at(0)]
    tied = "tied for " if scores.count(chosen.scores[0]) > 1 else ""
    place = ordinal(1 + sum(score > chosen.scores[0] for score in scores))
    rank = f"{tied}{place} of {len(scores)} candidates"
    if len(scores) == 1:
        rank = "the only candidate left"
    lost = len(selection.candidates) - len(scores)
    rank += f" ({lost} more diverged)" if lost else ""
    text = (
        f"The selected network ({chosen.title}, {_cost(chosen.macs)}) was {rank} after "
        f"{_length(selection, 0)}{_chance(selection, chosen)}"
    )
    last = len(selection.lengths) - 1
    if last:
        text += f", and {_end(selection, chosen)} scored after {selection.lengths[last]:,}"
    return f"{text}."


def _end(selection: Selection, chosen: ReportedCandidate) -> str:
    """The place at the last rung, where nothing is above what was selected."""
    scores = [candidate.scores[-1] for candidate in selection.at(len(selection.lengths) - 1)]
    if len(scores) == 1:
        return "the only one"
    tied = "tied for " if scores.count(chosen.scores[-1]) > 1 else ""
    return f"{tied}the best of the {len(scores)}"


def _length(selection: Selection, rung: int) -> str:
    """The training up to a rung; up to the first with that of a whole one: `133 of 1,200 steps`."""
    length, unit = selection.lengths[rung], selection.unit
    if selection.whole and rung == 0:
        return f"{length:,} of {selection.whole:,} {unit}"
    return f"{length:,} {unit if length > 1 else unit.removesuffix('s')}"


def _cost(macs: float) -> str:
    return f"{short_number(macs)} MACs"


def _randoms(selection: Selection) -> tuple[list[ReportedCandidate], int]:
    """The random candidates that were scored at the first rung, and how many diverged before."""
    drawn = [candidate for candidate in selection.candidates if candidate.origin == RANDOM]
    scored = [candidate for candidate in drawn if candidate.scores]
    return scored, len(drawn) - len(scored)


def _random_gain(selection: Selection, chosen: ReportedCandidate) -> Gain | None:
    """The gain over the median of the random ones at the first rung, the selected one with them if
    it is random; None where there are no others."""
    scored, lost = _randoms(selection)
    if not scored or scored == [chosen]:
        return None
    over = f"the median of {len(scored)} random ones" if len(scored) > 1 else "the only random one"
    over += f" ({lost} more diverged)" if lost else ""
    difference = chosen.scores[0] - median(candidate.scores[0] for candidate in scored)
    return Gain(over, f"after {_length(selection, 0)}", difference)


def _chance(selection: Selection, chosen: ReportedCandidate) -> str:
    """The comparison with the random candidates, as the end of a sentence."""
    if gain := _random_gain(selection, chosen):
        return f", {gain.describe(selection.quantity)}"
    scored, lost = _randoms(selection)
    if not scored:
        return ", where all random ones had diverged" if lost else ""
    return ", itself the only random one" + (f" ({lost} more diverged)" if lost else "")


def _hand_made_gain(selection: Selection, chosen: ReportedCandidate) -> Gain | None:
    """The gain over the best other hand-made candidate at no more cost, at the last rung that it
    reached; None without one."""
    others = [
        candidate
        for candidate in selection.at(0)
        if candidate.origin not in FOUND and candidate != chosen and candidate.macs <= chosen.macs
    ]
    if not others:
        return None
    best = max(others, key=lambda candidate: (len(candidate.scores), candidate.scores[-1]))
    rung = len(best.scores) - 1
    other = "" if chosen.origin in FOUND else "other "
    return Gain(
        f"{best.title} ({_cost(best.macs)})",
        f"after {_length(selection, rung)}",
        chosen.scores[rung] - best.scores[rung],
        f"{other}hand-made candidate at no more cost",
    )


def _test_gain(
    derived: dict[str, Any], tested: Sequence[dict[str, Any]], costs: dict[str, int]
) -> Gain | None:
    """The gain over the best hand-made network at no more cost on the test volumes; None without
    one. It was trained by the same strategy: networks are compared, not strategies."""
    limit = costs.get(method_key(derived), 0)
    others = [
        row
        for row in tested
        if row["model"] in (*MODELS.names, *LABEL_MODELS.names)
        and row.get("strategy") == derived.get("strategy")
        and 0 < costs.get(method_key(row), 0) <= limit
    ]
    if not others:
        return None
    best = max(others, key=lambda row: known(_test_score(row)))
    return Gain(
        f"{row_name(best)} ({_cost(costs[method_key(best)])})",
        "on the test volumes",
        known(_test_score(derived)) - known(_test_score(best)),
        "hand-made network at no more cost",
    )


def _costs(metrics: dict[str, Any] | None) -> dict[str, int]:
    """The MACs of every method; of the first client where the row of all clients has none."""
    rows = (metrics or {"rows": []})["rows"]
    return {method_key(row): row["macs"] for row in reversed(rows) if row.get("macs")}


def _is_overall(row: dict[str, Any]) -> bool:
    """True for a scored row over all accelerations and all clients."""
    everything = row.get("acceleration", "all") == "all" and row.get("client", EVERYONE) == EVERYONE
    return everything and _test_score(row) is not None


def _test_score(row: dict[str, Any]) -> float | None:
    return mean_of(row.get("psnr")) if "psnr" in row else dice_of(row)


def _verdict(
    quantity: Quantity, chosen: ReportedCandidate, gains: Sequence[Gain], *, tested: bool
) -> str:
    """The answer in plain words: it paid if every comparison says so."""
    missed = [gain for gain in gains if not gain.paid(quantity)]
    if missed:
        reason = ", and ".join(f"not above {gain.over} {gain.where}" for gain in missed)
        return f"The search did not pay: the selected network is {reason} (one seed each)."
    if chosen.origin not in FOUND:
        return (
            "What was selected is a hand-made network itself, arranged anew at most: the search "
            "found no better cell (one seed each)."
        )
    if not gains:
        return "Nothing it could be compared with tells whether the search paid."
    if not tested:
        return (
            "The search paid as far as the validation volumes tell, by which it was chosen (one "
            "seed each)."
        )
    return "By these numbers the search paid (one seed each)."
