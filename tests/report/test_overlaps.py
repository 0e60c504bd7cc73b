"""The tables and sentences of a segmentation run, from the numbers that the paper prints."""

import numpy as np
import pytest

from jaxnas.report import overlaps as segmentation
from jaxnas.report import tables
from tests.report import fake_overlaps as fake_segmentation


@pytest.fixture
def metrics():
    return fake_segmentation.metrics(np.random.default_rng(0), random=3)


def cells(table, row):
    """The entries of the row of that name, by column."""
    (found,) = [r for r in table.rows if r[0].text == row]
    return dict(zip(table.columns, found))


def test_table_1_is_dijkstra_then_genetic_by_paths(metrics):
    table = segmentation.decoder_table(metrics)
    assert [row[0].text for row in table.rows] == [
        f"{name} (Nₗ = {n})" for name in ("Dijkstra", "Genetic") for n in (3, 5, 7)
    ]
    assert table.columns == ("Network", "RV", "MYO", "LV", "Average", "LT (ms)", "TP (FPS)")
    best = cells(table, "Genetic (Nₗ = 7)")
    assert best["Average"].text == "0.922 ± 0.020" and best["Average"].best
    assert cells(table, "Genetic (Nₗ = 3)")["LT (ms)"] == tables.Cell("26.0", best=True)
    assert not any(cell.broken for row in table.rows for cell in row)


def test_table_1_needs_both_decoders(metrics):
    rows = [r for r in metrics["rows"] if r["decoder"] != "ga"]
    assert segmentation.decoder_table({"rows": rows}) is None
    names = [row[0].text for row in segmentation.network_table({"rows": rows}).rows]
    assert "Dijkstra (Nₗ = 3)" in names, "what Table 1 does not show, Table 2 does"


def test_table_2_marks_what_breaks_a_limit(metrics):
    table = segmentation.network_table(metrics)
    names = [row[0].text for row in table.rows]
    assert names[:3] == ["U-Net 2D", "BiX-NAS", "MS-NAS"]
    assert names[-1] == "Constrained (≤ 45 ms)"
    assert not any(name.startswith(("Dijkstra", "random")) for name in names)
    broken = {
        (row[0].text, column)
        for row in table.rows
        for column, cell in zip(table.columns, row)
        if cell.broken
    }
    assert broken == {("MS-NAS", "LT (ms)"), ("MS-NAS", "TP (FPS)"), ("BiX-NAS", "TP (FPS)")}
    html = tables.to_html(table)
    assert '<span class="broken">55.0 †</span>' in html and html.count("broken") == 3
    assert "| 55.0 † |" in tables.to_markdown(table)


def test_limits_are_those_of_the_run(metrics):
    metrics["limits"] = {"latency_ms": 36.0, "throughput_fps": 30.0}
    table = segmentation.network_table(metrics)
    valid = [row[0].text for row in table.rows if not any(cell.broken for cell in row)]
    assert valid == ["U-Net 2D", "Genetic (Nₗ = 3)", "Genetic (Nₗ = 5)"]
    del metrics["limits"]
    assert segmentation.limits_of(metrics) == {"latency_ms": 50.0, "throughput_fps": 22.0}


def test_a_value_on_the_limit_keeps_it(metrics):
    row = metrics["rows"][0]
    row["latency_ms"]["p50"], row["throughput_fps"] = 50.0, 22.0
    assert segmentation.is_valid(row, segmentation.LIMITS)
    row["throughput_fps"] = 21.99
    assert not segmentation.is_valid(row, segmentation.LIMITS)


def test_what_was_not_measured_is_a_dash_and_never_valid(metrics):
    for row in metrics["rows"]:
        row |= {"latency_ms": None, "throughput_fps": None, "timings": []}
        row["hd95"]["rv"] = {"mean": None, "std": None, "n": 0}
        row["ejection_fraction"]["rv"] = None
    row = cells(segmentation.network_table(metrics), "MS-NAS")
    assert row["LT (ms)"] == tables.Cell("–") and row["TP (FPS)"].text == "–"
    assert not any(segmentation.is_valid(r, segmentation.LIMITS) for r in metrics["rows"])
    assert segmentation.latency_tables(metrics) == []
    distances = cells(segmentation.distance_table(metrics), "MS-NAS")
    assert distances["RV r"].text == "–" and distances["LV bias"].text == "-1.2"
    searched, baseline, _ = segmentation.summarise_segmentation(metrics)
    assert searched.startswith("The best searched network, Constrained") and "ms," not in searched
    assert baseline.startswith("The best baseline, MS-NAS, reaches a mean Dice of 0.933")


def test_random_networks_have_a_table_of_their_own(metrics):
    table = segmentation.random_table(metrics)
    drawn = [row for row in metrics["rows"] if row["decoder"] == "random"]
    best = max(drawn, key=segmentation.dice_of)
    assert len(table.rows) == len(drawn) == 3
    number = best["model"].removeprefix("random_")
    assert table.rows[0][0].text == f"Random {number} (Nₗ = 5)"
    assert segmentation.summarise_segmentation(metrics)[-1].startswith(
        f"The best of 3 random networks, Random {number} (Nₗ = 5), reaches a mean Dice of"
    )
    rows = [row for row in metrics["rows"] if row not in drawn]
    assert segmentation.random_table({"rows": rows}) is None


def test_folds_have_a_table(metrics):
    assert segmentation.fold_table(metrics) is None
    for row in metrics["rows"]:
        spread = row["dice"]["mean"] | {"values": [0.9, None]}
        row["folds"] = {"numbers": [0, 3], "dice": dict.fromkeys(segmentation.TITLES, spread)}
    table = segmentation.fold_table(metrics)
    assert (
        table.title == "Cross-validation, 2 folds" and len(table.rows) == len(metrics["rows"]) - 3
    )
    row = cells(table, "MS-NAS")
    assert (row["Average"].text, row["fold 0"].text, row["fold 3"].text) == (
        "0.933 ± 0.020",
        "0.900",
        "–",
    )


def test_every_scope_has_its_table(metrics):
    found = segmentation.latency_tables(metrics)
    assert [table.title.split(", ")[1][:8] for table in found] == [
        "network ",
        "with the",
        "from the",
    ]
    assert found[0].groups[2] == ("one stack of 10, ms", 5)
    (row,) = [r for r in found[2].rows if r[0].text == "MS-NAS"]
    assert [cell.text for cell in row[6:]] == ["88.00", "96.80", "123.20", "300", "11.8"]


def test_the_summary_speaks_of_the_limits(metrics):
    lines = segmentation.summarise_segmentation(metrics)
    assert lines[0] == (
        "The best searched network within 50 ms and 22 FPS, Constrained (≤ 45 ms), reaches a mean "
        "Dice of 0.931, at 44.6 ms and 23.4 FPS, with 700.0K parameters."
    )
    assert "U-Net 2D" in lines[1]
    metrics["limits"] = {"latency_ms": 1.0, "throughput_fps": 22.0}
    assert segmentation.summarise_segmentation(metrics)[0].startswith(
        "No searched network keeps 1 ms and 22 FPS; the best one, Constrained"
    )
    assert segmentation.summarise_segmentation({"rows": []}) == []
