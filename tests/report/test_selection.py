"""A selection on the page: table, figure, and whether it paid, by numbers counted by hand."""

import json
import re

import pytest

from jaxnas.core.config import dump_config, make_config
from jaxnas.core.errors import UserError
from jaxnas.engine.rundir import RunDir, table_text
from jaxnas.report import html, payoff, selection, style
from jaxnas.report.inputs import read_run
from tests.report.page import check

LENGTHS = (133, 400)
# Origin, MACs in millions, scores, outcome. At the first rung the median of the random ones is
# (30.0 + 30.2) / 2 = 30.1 and the selected one is second.
PAID = [
    ("dccnn", 500, [30.3], "dropped"),
    ("modl", 700, [30.6, 31.0], "dropped"),
    ("searched", 531, [30.5, 31.5], "selected"),
    ("neighbour", 400, [30.25], "dropped"),
    ("random", 300, [30.0], "dropped"),
    ("random", 200, [30.2], "dropped"),
]


def make_rows(candidates, lengths=LENGTHS):
    """The rows as the stage writes them."""
    arrangement = {"cascades": 6, "cells": 1, "channels": 16, "shared": False}
    cells = {"normal": [[["skip_connect", 0]]]}
    genotype = {"space": "unrolled", "cells": cells, "paths": None, "arrangement": arrangement}
    return [
        {
            "candidate": f"candidate{number:02d}",
            "origin": origin,
            "macs": macs * 10**6,
            "params": 1000 * number,
            **{f"score_{n}": s for n, s in zip(lengths, [*scores, "", "", ""])},
            "outcome": outcome,
            "genotype": json.dumps(genotype),
        }
        for number, (origin, macs, scores, outcome) in enumerate(candidates, start=1)
    ]


def write_selection(
    folder, candidates, *, lengths=LENGTHS, task="reconstruction", tested=(), **settings
):
    """A run directory with a selection, and the test scores `tested`: (model, MACs, score)."""
    files = RunDir(folder)
    config = {"name": "s", "task": task, "train": {"steps": 1200}, **settings}
    files.config.write(dump_config(make_config(config)))
    files.candidates.write(table_text(make_rows(candidates, lengths)))
    if tested:
        rows = [test_row(task, *row) for row in tested]
        files.metrics.write({"schema": 1, "task": task, "data": "d", "rows": rows})
    return folder


def test_row(task, model, macs, score):
    """A row of metrics.json."""
    row = {"model": model, "params": 1000, "macs": macs * 10**6}
    if task == "segmentation":
        return row | {"dice": {"lv": {"mean": score}, "mean": {"mean": score}}}
    return row | {"acceleration": "all", "n": 2, "psnr": {"mean": score, "std": 1.0}}


test_row.__test__ = False


def selection_of(folder):
    """The selection of a run directory that has one."""
    found = read_run(folder).selection
    assert found is not None
    return found


def summary_of(folder):
    """The sentences on a selection, as one text."""
    metrics = read_run(folder).metrics
    return " ".join(payoff.summarise_selection(selection_of(folder), metrics))


def test_a_search_that_paid(tmp_path):
    tested = [("dccnn", 500, 32.05), ("rdn", 900, 33.0), ("derived", 531, 32.4)]
    assert summary_of(write_selection(tmp_path, PAID, tested=tested)) == (
        "The selected network (searched, 531.0M MACs) was second of 6 candidates after 133 of "
        "1,200 steps, 0.40 dB above the median of 2 random ones, and the best of the 2 scored "
        "after 400. After 133 of 1,200 steps it is 0.20 dB above dccnn (500.0M MACs), the best "
        "hand-made candidate at no more cost. On the test volumes it is 0.35 dB above dccnn "
        "(500.0M MACs), the best hand-made network at no more cost. By these numbers the search "
        "paid (one seed each)."
    )


def test_a_search_that_did_not_pay_says_so(tmp_path):
    below = [("searched", 531, [30.0, 31.5], "selected")]
    below += [("random", 9, [score], "dropped") for score in (30.9, 29.0, 30.123)]
    text = summary_of(
        write_selection(tmp_path, below, tested=[("modl", 531, 32.1), ("derived", 531, 32.0)])
    )
    assert "third of 4 candidates" in text
    assert "0.12 dB below the median of 3 random ones, and the only one scored after 400." in text
    assert "it is 0.10 dB below modl (531.0M MACs)" in text
    assert text.endswith(
        "The search did not pay: the selected network is not above the median of 3 random ones "
        "after 133 of 1,200 steps, and not above modl (531.0M MACs) on the test volumes (one seed "
        "each)."
    )


def test_ties_are_ties(tmp_path):
    """Equal as they print is no gain; equal scores share a place."""
    tied = [
        ("random", 5, [30.0, 31.0], "selected"),
        ("random", 5, [30.0, 31.0], "dropped"),
        ("neighbour", 5, [30.1], "dropped"),
    ]
    tested = [("dccnn", 4, 32.001), ("derived", 5, 32.003)]
    text = summary_of(write_selection(tmp_path, tied, tested=tested))
    assert "was tied for second of 3 candidates after 133" in text
    assert "level with the median of 2 random ones, and tied for the best of the 2 scored" in text
    assert "On the test volumes it is level with dccnn (4.000M MACs)" in text
    assert "did not pay" in text and "paid" not in text


@pytest.mark.parametrize(
    ("candidates", "said"),
    [
        ([("searched", 5, [30.5], "selected"), ("random", 5, [30.0], "dropped")], "0.50 dB above"),
        ([("random", 5, [30.5], "selected"), ("searched", 5, [30], "dropped")], "itself the only"),
    ],
)
def test_a_single_random_candidate(candidates, said, tmp_path):
    text = summary_of(write_selection(tmp_path, candidates, lengths=(400,)))
    assert f"first of 2 candidates after 400 of 1,200 steps, {said}" in text
    assert "the only random one." in text and "median" not in text
    assert ("paid as far as the validation volumes tell" in text) == said.endswith("above")
    assert ("Nothing it could be compared with" in text) != said.endswith("above")


def test_what_diverged_is_counted_and_not_ranked(tmp_path):
    candidates = [
        ("random", 5, [], "diverged"),
        ("random", 5, [30.0], "dropped"),
        ("dccnn", 5, [30.9], "diverged"),
        ("neighbour", 5, [30.5, 31.0], "selected"),
    ]
    text = summary_of(write_selection(tmp_path, candidates))
    assert "second of 3 candidates (1 more diverged) after 133 of 1,200 steps, 0.50 dB" in text
    assert "above the only random one (1 more diverged), and the only one scored after" in text
    assert "it is 0.40 dB below dccnn (5.000M MACs)" in text
    assert "did not pay: the selected network is not above dccnn (5.000M MACs) after 133" in text
    found = selection_of(tmp_path)
    assert [c.name[-2:] for c in found.candidates] == ["04", "02", "03", "01"]


def test_all_random_candidates_diverged(tmp_path):
    candidates = [("random", 5, [], "diverged"), ("searched", 5, [30.5, 31.0], "selected")]
    text = summary_of(write_selection(tmp_path, candidates))
    assert "was the only candidate left (1 more diverged) after 133 of 1,200 steps" in text
    assert "steps, where all random ones had diverged, and the only one scored" in text
    assert text.endswith("Nothing it could be compared with tells whether the search paid.")


def test_no_random_candidates_and_no_cheaper_network(tmp_path):
    candidates = [("searched", 5, [30.5, 31.0], "selected"), ("dccnn", 6, [31.0, 30], "dropped")]
    tested = [("dccnn", 6, 31.0), ("derived", 5, 30.0)]
    text = summary_of(write_selection(tmp_path, candidates, tested=tested))
    assert "random" not in text and "No hand-made network at no more cost was tested" in text
    assert text.endswith("Nothing it could be compared with tells whether the search paid.")


def test_a_hand_made_network_that_is_selected(tmp_path):
    candidates = [("dccnn", 5, [30.5, 31.0], "selected"), ("dccnn", 4, [30.4], "dropped")]
    text = summary_of(write_selection(tmp_path, candidates))
    assert "0.10 dB above dccnn (4.000M MACs), the best other hand-made candidate" in text
    assert "What was selected is a hand-made network itself" in text and "paid" not in text


def test_segmentation_speaks_of_dice(tmp_path):
    candidates = [
        ("searched", 5, [0.8123, 0.9], "selected"),
        ("random", 5, [0.8, 0.85], "dropped"),
        ("unet2d", 5, [0.8111], "dropped"),
    ]
    tested = [("unet2d", 5, 0.91), ("random_00", 5, 0.99), ("derived", 5, 0.905)]
    write_selection(tmp_path, candidates, task="segmentation", tested=tested)
    text = summary_of(tmp_path)
    assert "0.012 Dice above the only random one" in text
    assert "0.001 Dice above U-Net 2D (5.000M MACs), the best hand-made candidate" in text
    assert "it is 0.005 Dice below U-Net 2D" in text and " dB" not in text
    page = html.write_report(tmp_path).read_text()
    assert "validation mean Dice after" in page and "0.812</strong>" in page
    assert f"<p>{text}</p>" in page


def test_clients_are_compared_by_one_strategy_in_rounds(tmp_path):
    """The cost that the row of all clients lacks is that of the first client."""
    federated = {"rounds": 900, "local_steps": 1, "partition": {"method": "even", "clients": 2}}
    write_selection(tmp_path, PAID, federated=federated)
    rows = [
        test_row("reconstruction", model, 0, score) | {"strategy": strategy, "client": client}
        for model, strategy, score in (
            ("derived", "fedavg", 32.0),
            ("rdn", "fedavg", 31.75),
            ("rdn", "fedprox", 33.0),
        )
        for client in ("all", "a")
    ]
    rows = [row | {"macs": 5 * 10**6 if row["client"] == "a" else None} for row in rows]
    RunDir(tmp_path).metrics.write({"task": "reconstruction", "data": "d", "rows": rows})
    text = summary_of(tmp_path)
    assert "after 133 of 900 rounds" in text
    assert "On the test volumes it is 0.25 dB above rdn · FedAvg (5.000M MACs)" in text


def test_the_page_has_the_section(tmp_path):
    report = html.write_report(write_selection(tmp_path, PAID))
    page, text = check(report), report.read_text()
    assert page.ids.index("selection") > page.ids.index("summary")
    assert "6 cascades × 1 cell × 16 channels</td>" in text and "not finished" not in text
    assert f"<p>{summary_of(tmp_path)}</p>" in text
    assert (tmp_path / "figures" / "selection.png").is_file()


def test_the_table_is_best_first(tmp_path):
    found = selection_of(write_selection(tmp_path, PAID))
    table = selection.selection_table(found)
    assert table.columns == (
        *("Candidate", "Origin", "Arrangement", "MACs", "Params", "133 steps", "400 steps"),
        "Outcome",
    )
    cells = [[cell.text for cell in row] for row in table.rows]
    assert [row[0][-2:] for row in cells] == ["03", "02", "01", "04", "06", "05"]
    assert cells[0][3:] == ["531.0M", "3.000K", "30.50", "31.50", "selected"]
    assert cells[2][5:] == ["30.30", "–", "dropped"]
    best = [(cell.text, cell.best) for row in table.rows for cell in row[5:7]]
    assert [text for text, is_best in best if is_best] == ["31.50", "30.60"]


def test_latency_and_arrangement_stand_where_they_are_known(tmp_path):
    rows = [row | {"ms": 4.5} for row in make_rows(PAID)]
    for row in rows:
        row["genotype"] = '{"space": "unrolled", "cells": {"normal": [[["skip_connect", 0]]]}}'
    write_selection(tmp_path, PAID)
    RunDir(tmp_path).candidates.write(table_text(rows))
    table = selection.selection_table(selection_of(tmp_path))
    assert "Arrangement" not in table.columns and "Latency (ms)" in table.columns


@pytest.mark.parametrize(
    ("arrangement", "text"),
    [
        ((), ""),
        ((("cascades", 1), ("cells", 2), ("channels", 16)), "1 cascade × 2 cells × 16 channels"),
        ((("body", "recursive"), ("cells", 1), ("shared", True)), "1 cell, recursive, shared"),
        ((("bias", False), ("lam", None), ("learn_lam", True)), "no bias, learn lam"),
    ],
)
def test_arrangements_in_words(arrangement, text):
    assert selection.arrangement_text(arrangement) == text


@pytest.mark.parametrize("end", ["", "diverged"])
def test_an_unfinished_selection_is_shown_without_a_verdict(end, tmp_path):
    candidates = [("searched", 5, [30.5], end), ("random", 5, [], end)]
    report = html.write_report(write_selection(tmp_path, candidates, tested=[("derived", 5, 30)]))
    text = report.read_text()
    assert summary_of(tmp_path) == ""
    assert "The selection is not finished: no candidate is selected." in text
    assert "candidate02" in text and "paid" not in text and "<p></p>" not in text


def test_the_figure_has_a_line_each_and_marks_the_selected(tmp_path):
    ends = [*PAID, ("random", 5, [], "diverged"), ("random", 5, [29.0], "diverged")]
    (axes,) = selection.draw_selection(selection_of(write_selection(tmp_path, ends))).axes
    lines = [[*line.get_ydata()] for line in axes.lines]
    assert sorted(scores for *_, scores, _ in ends if scores) == sorted(
        lines[i] for i, line in enumerate(axes.lines) if line.get_marker() == "o"
    )
    (star,) = (line for line in axes.lines if line.get_marker() == "*")
    assert [*star.get_ydata()] == [31.5]
    (cross,) = (line for line in axes.lines if line.get_marker() == "x")
    assert [*cross.get_ydata()] == [29.0] and cross.get_color() == style.GREY
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names[0] == "random (4)" and names[-2:] == ["selected", "diverged"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["133", "400"]


def test_runs_without_a_selection_have_no_trace_of_one(run_dir):
    run = read_run(run_dir)
    assert run.selection is None and "candidates" not in run.expected
    assert "election" not in html.render_report(run, [])


def test_a_selection_that_was_asked_for_and_is_not_there_is_missed(tmp_path):
    write_selection(tmp_path, PAID, select={"candidates": 6})
    RunDir(tmp_path).candidates.path.unlink()
    text = html.write_report(tmp_path).read_text()
    assert "has no <code>candidates.csv</code>" in text


@pytest.mark.parametrize("change", [("random", '"'), ("genotype", "genome"), ("30.5", "high")])
def test_another_table_is_the_users_error(change, tmp_path):
    path = RunDir(write_selection(tmp_path, PAID)).candidates.path
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(UserError, match=re.escape(str(path))):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("number", "word"), [(1, "first"), (9, "ninth"), (10, "10th"), (12, "12th"), (23, "23rd")]
)
def test_ordinals(number, word):
    assert payoff.ordinal(number) == word
