"""The tables say what metrics.json says, and mark the best."""

import pytest

from jaxnas.core.errors import UserError
from jaxnas.core.files import read_json, write_json
from jaxnas.report import tables
from tests.report import fake_run


def stat(mean, std):
    return {"mean": mean, "std": std}


@pytest.fixture
def metrics():
    """Two rows of the paper's Table I, and TV without a network."""
    rows = [
        (
            "tv",
            (2.351e-10, 5.355e-10),
            (7.104e-2, 7.633e-2),
            (28.12, 6.246),
            (0.5192, 0.2509),
            0,
            0,
        ),
        (
            "rdn",
            (1.623e-10, 3.587e-10),
            (5.398e-2, 6.444e-2),
            (29.49, 6.501),
            (0.6147, 0.2658),
            86790,
            25897779200,
        ),
        (
            "derived",
            (1.432e-10, 2.919e-10),
            (5.112e-2, 6.408e-2),
            (29.83, 6.692),
            (0.6204, 0.2676),
            142272,
            14568652800,
        ),
    ]
    return {
        "rows": [
            {
                "model": model,
                "acceleration": "all",
                "n": 10,
                "mse": stat(*mse),
                "nmse": stat(*nmse),
                "psnr": stat(*psnr),
                "ssim": stat(*ssim),
                "params": params,
                "macs": macs,
            }
            for model, mse, nmse, psnr, ssim, params, macs in rows
        ]
    }


def texts(table, column):
    return [row[table.columns.index(column)].text for row in table.rows]


def best(table, column):
    return [row[table.columns.index(column)].best for row in table.rows]


def test_the_papers_numbers_print_as_in_the_paper(metrics):
    (table,) = tables.method_tables(metrics)
    assert texts(table, "MSE (×1e-10)") == ["2.351 ± 5.355", "1.623 ± 3.587", "1.432 ± 2.919"]
    assert texts(table, "NMSE (×1e-2)") == ["7.104 ± 7.633", "5.398 ± 6.444", "5.112 ± 6.408"]
    assert texts(table, "SSIM") == ["0.5192 ± 0.2509", "0.6147 ± 0.2658", "0.6204 ± 0.2676"]
    assert texts(table, "Params") == ["–", "86.79K", "142.3K"]
    assert texts(table, "MACs") == ["–", "25.90G", "14.57G"]


def test_best_is_high_or_low_as_the_quantity_wants(metrics):
    (table,) = tables.method_tables(metrics)
    for column in ("MSE (×1e-10)", "NMSE (×1e-2)", "PSNR (dB)", "SSIM", "MACs"):
        assert best(table, column) == [False, False, True], column
    assert best(table, "Params") == [False, True, False]


def test_values_that_print_alike_are_both_best(metrics):
    metrics["rows"][1]["psnr"] = stat(29.8299, 1.0)
    (table,) = tables.method_tables(metrics)
    assert best(table, "PSNR (dB)") == [False, True, True]


def test_flops_stand_beside_macs_where_known(metrics):
    metrics["rows"][2] |= {"flops": 14568652800, "flops_with_activations": 15070000000}
    (table,) = tables.method_tables(metrics)
    assert texts(table, "FLOPs") == ["–", "–", "14.57G"]
    assert texts(table, "FLOPs + act.") == ["–", "–", "15.07G"]


def test_missing_values_are_dashes(metrics):
    metrics["rows"][0]["ssim"] = None
    del metrics["rows"][0]["mse"]
    (table,) = tables.method_tables(metrics)
    assert texts(table, "SSIM")[0] == texts(table, "MSE (×1e-10)")[0] == "–"


def test_one_table_per_acceleration_after_all(run_dir):
    found = tables.method_tables(read_json(run_dir / "metrics.json"))
    assert [t.title.split(",")[0] for t in found] == [
        "All accelerations",
        "4× acceleration",
        "8× acceleration",
    ]
    assert all(len(t.rows) == len(fake_run.MODELS) for t in found)


def test_volume_tables_have_no_costs(run_dir):
    found = tables.volume_tables(read_json(run_dir / "metrics.json"))
    assert len(found) == 3
    assert found[0].columns == ("Model", "NMSE (×1e-2)", "PSNR (dB)", "SSIM")


def test_markdown_and_html_hold_the_same_cells(metrics):
    (table,) = tables.method_tables(metrics)
    markdown, page = tables.to_markdown(table), tables.to_html(table)
    assert "| searched (derived) | **1.432 ± 2.919** |" in markdown
    assert "<strong>1.432 ± 2.919</strong>" in page
    for cell in (cell for row in table.rows for cell in row):
        assert cell.text in markdown
        assert cell.text in page


def test_html_is_escaped():
    page = tables.to_html(tables.Table("a < b", ("Model",), ((tables.Cell("<x>"),),)))
    assert "<x>" not in page
    assert "a &lt; b" in page


def test_groups_of_columns_have_heads_in_both_formats():
    row = tuple(map(tables.Cell, ("net", "1", "2", "3")))
    groups = (("", 1), ("PSNR", 2), ("", 1))
    table = tables.Table("T", ("Model", "a", "b", "n"), (row,), groups)
    assert "| Model | PSNR a | PSNR b | n |" in tables.to_markdown(table)
    assert '<th scope="colgroup" colspan="2">PSNR</th>' in tables.to_html(table)
    assert tables.to_html(table).count("<tr") == 3
    assert '<td class="edge">1</td><td>2</td><td class="edge">3</td>' in tables.to_html(table)


def compared(tmp_path, **fields):
    """A run directory with only a genotype and the derived row."""
    folder = tmp_path / "-".join(map(str, fields.values()))
    nodes, space = fields.get("nodes", 3), fields.get("space", "csmri_a")
    write_json(
        folder / "genotype.json",
        {"space": space, "cells": {"normal": [[["skip_connect", 0]]] * nodes}, "paths": None},
    )
    row = {
        "model": "derived",
        "acceleration": "all",
        "psnr": stat(29 + nodes / 10, 6.0),
        "params": 1000 * nodes,
        "macs": 10**9 * nodes,
    }
    write_json(folder / "metrics.json", {"rows": [row]})
    return folder


def test_compare_by_nodes_is_ordered_by_nodes(tmp_path):
    runs = [compared(tmp_path, nodes=n) for n in (4, 2, 3)]
    table = tables.compare_runs(runs, by="nodes")
    assert texts(table, "Nodes") == ["2", "3", "4"]
    assert texts(table, "Params") == ["2.000K", "3.000K", "4.000K"]
    assert best(table, "PSNR (dB)") == [False, False, True]


def test_compare_by_space(tmp_path):
    runs = [compared(tmp_path, space=s) for s in ("csmri_b", "csmri_a")]
    table = tables.compare_runs(runs, by="space")
    assert texts(table, "Operation space") == ["csmri_a", "csmri_b"]


def test_compare_takes_the_row_of_all_clients(tmp_path):
    run = compared(tmp_path, nodes=2)
    (row,) = read_json(run / "metrics.json")["rows"]
    one = row | {"client": "a", "strategy": "fedavg", "psnr": stat(1.0, 0.0)}
    write_json(run / "metrics.json", {"rows": [one, row | {"client": "all"}]})
    assert texts(tables.compare_runs([run], by="nodes"), "PSNR (dB)") == ["29.20 ± 6.00"]


def test_compare_refuses_what_it_cannot_compare(tmp_path):
    with pytest.raises(ValueError, match="by must be one of"):
        tables.compare_runs([], by="colour")
    run = compared(tmp_path, nodes=2)
    write_json(run / "metrics.json", {"rows": []})
    with pytest.raises(UserError, match="no row with model 'derived'"):
        tables.compare_runs([run], by="nodes")


@pytest.mark.parametrize(
    "value, text",
    [
        (0, "–"),
        (None, "–"),
        (576, "576"),
        (86790, "86.79K"),
        (170022, "170.0K"),
        (3348536, "3.349M"),
        (14568652800, "14.57G"),
    ],
)
def test_short_number(value, text):
    assert tables.short_number(value) == text
