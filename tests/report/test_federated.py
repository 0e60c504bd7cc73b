"""The tables of a federated evaluation against the slices they are made of."""

import numpy as np
import pytest

from jaxnas.core.files import read_json
from jaxnas.report import federated, summary, tables
from tests.report.fake_federated import CLIENTS, METHODS, read_slices

NAMES = {
    "zero_filled": "zero-filled",
    "tv": "TV",
    "fastmri_unet/fedprox": "fastmri_unet · FedProx",
    "fedautomri_baseline/fedavg": "manual baseline · FedAvg",
    "derived/fedautomri": "searched · FedAutoMRI",
}


@pytest.fixture(scope="module")
def metrics(federated_dir):
    return read_json(federated_dir / "metrics.json")


@pytest.fixture(scope="module")
def communication(federated_dir):
    return read_json(federated_dir / "communication.json")


@pytest.fixture(scope="module")
def slices(federated_dir):
    return read_slices(federated_dir)


def mean(slices, key, client, quantity, acceleration="all"):
    """The mean over the slices that a method, a client and an acceleration have in common."""
    found = [
        float(s[quantity])
        for s in slices
        if "/".join(filter(None, (s["model"], s["strategy"]))) == key
        and client in ("all", s["client"])
        and acceleration in ("all", float(s["acceleration"]))
    ]
    return np.mean(found)


def cells(table, name):
    """{(group, column): cell} of one row."""
    groups = [head for head, span in table.groups for _ in range(span)]
    (row,) = (row for row in table.rows if row[0].text == name)
    return dict(zip(zip(groups, table.columns), row))


def crowd(count):
    """Metrics of one method at many clients, the PSNR of client i being 30 + i²/10."""
    rows = [
        {
            "model": "unet",
            "strategy": "fedavg",
            "client": f"c{i}",
            "acceleration": "all",
            "n": 4,
            "psnr": {"mean": 30 + i * i / 10, "std": 1.0},
            "ssim": {"mean": 0.9, "std": 0.1},
        }
        for i in range(count)
    ]
    return {"rows": [*rows, rows[0] | {"client": "all", "psnr": {"mean": 31.0, "std": 1.0}}]}


@pytest.mark.parametrize("key", NAMES)
def test_table_1_is_the_mean_over_the_slices(metrics, slices, key):
    table, *_ = federated.comparison_tables(metrics)
    row = cells(table, NAMES[key])
    for client in (*CLIENTS, "all"):
        psnr, ssim = (mean(slices, key, client, quantity) for quantity in ("psnr", "ssim"))
        assert row["PSNR (dB)", client].text == f"{psnr:.2f}"
        assert row["SSIM", client].text == f"{ssim:.4f}"


@pytest.mark.parametrize("key", NAMES)
def test_every_row_names_its_worst_client(metrics, slices, key):
    table, *_ = federated.comparison_tables(metrics)
    scores = {client: mean(slices, key, client, "psnr") for client in CLIENTS}
    worst = min(scores, key=scores.get)
    expected = f"{worst} {scores[worst]:.2f}"
    assert cells(table, NAMES[key])["PSNR (dB)", "worst client"].text == expected


def test_table_1_has_all_methods_and_the_groups_of_the_paper(metrics, communication):
    table, *speeds = federated.comparison_tables(metrics, communication=communication)
    assert len(table.rows) == len(METHODS)
    assert [row[0].text for row in table.rows][:2] == ["zero-filled", "TV"]
    assert table.rows[-1][0].text == "searched · FedAutoMRI"
    assert table.groups == (("", 1), ("PSNR (dB)", 6), ("SSIM", 5), ("", 3))
    assert sum(span for _, span in table.groups) == len(table.columns)
    assert [t.title.partition(";")[0] for t in speeds] == [
        f"{a}× acceleration" for a in ("4", "6", "8")
    ]


def test_rows_are_in_order_whatever_that_of_the_file(metrics):
    found = federated.methods_of({"rows": metrics["rows"][::-1]})
    kinds = [method.key.partition("/")[0] for method in found]
    assert set(kinds[:2]) == {"zero_filled", "tv"}
    assert set(kinds[-3:]) == {"derived"}
    assert "derived" not in kinds[:-3]


def test_the_best_of_a_column_is_marked(metrics, communication):
    table, *_ = federated.comparison_tables(metrics, communication=communication)
    for index, head in enumerate(table.columns[1:], start=1):
        column = [row[index] for row in table.rows]
        if head in CLIENTS or head == "all":
            best = max(float(cell.text) for cell in column)
            assert [float(c.text) == best for c in column] == [c.best for c in column]
    marked = [row[0].text for row in table.rows if row[table.columns.index("Params")].best]
    assert marked == ["searched · Non-Fed", "searched · FedAvg", "searched · FedAutoMRI"]


def test_bytes_per_round_are_those_of_all_clients(metrics, communication):
    table, *_ = federated.comparison_tables(metrics, communication=communication)
    shared = METHODS["fastmri_unet/fedprox"][3]
    assert cells(table, "fastmri_unet · FedProx")["", "Bytes/round"].text == (
        f"{4 * 2 * 4 * shared / 1e6:.0f} MB"
    )
    assert cells(table, "fastmri_unet · Non-Fed")["", "Bytes/round"].text == "–"
    assert "Bytes/round" not in federated.comparison_tables(metrics)[0].columns


def test_tables_of_an_acceleration_have_its_clients_only(metrics, slices):
    _, four, six, eight = federated.comparison_tables(metrics)
    assert set(six.columns) & set(CLIENTS) == {"modl_brain"}
    assert set(eight.columns) & set(CLIENTS) == set(CLIENTS) - {"modl_brain"}
    score = mean(slices, "tv", "siat", "psnr", 4.0)
    assert cells(four, "TV")["PSNR (dB)", "siat"].text == f"{score:.2f}"


def test_the_ablation_has_the_rows_of_table_2(metrics):
    table = federated.ablation_table(metrics)
    assert [row[0].text for row in table.rows] == [
        "manual, without EMA",
        "searched, without EMA",
        "searched, with EMA",
    ]
    rows = [r for r in metrics["rows"] if (r["model"], r.get("strategy")) != ("derived", "fedavg")]
    assert len(federated.ablation_table({"rows": rows}).rows) == 2
    rows = [r for r in rows if r["model"] != "derived"]
    assert federated.ablation_table({"rows": rows}) is None


def test_standard_deviations_are_shown_client_by_client(metrics):
    found = federated.client_tables(metrics)
    assert [t.title.partition(":")[0] for t in found] == ["All clients", *CLIENTS]
    row = next(
        r
        for r in metrics["rows"]
        if (r["client"], r["model"], r["acceleration"]) == ("siat", "tv", "all")
    )
    shown = next(r for r in found[-1].rows if r[0].text == "TV")
    psnr = shown[found[-1].columns.index("PSNR (dB)")].text
    assert psnr == f"{row['psnr']['mean']:.2f} ± {row['psnr']['std']:.2f}"
    assert not {"Params", "FLOPs", "FLOPs + act."} & set(found[0].columns)


def test_many_clients_are_summed_up_and_listed_apart():
    metrics = crowd(9)
    table, *_ = federated.comparison_tables(metrics)
    psnr = [30 + i * i / 10 for i in range(9)]
    row = cells(table, "unet · FedAvg")
    for head, summed in (("lowest", np.min), ("median", np.median), ("highest", np.max)):
        assert row["PSNR (dB)", head].text == f"{summed(psnr):.2f}"
    assert row["PSNR (dB)", "worst client"].text == "c0 30.00"
    listed = federated.crowd_table(metrics)
    assert [r[1].text for r in listed.rows] == [f"{value:.2f}" for value in psnr]
    assert listed.groups == (("", 1), ("unet", 1))
    assert len(federated.client_tables(metrics)) == 1


def test_few_clients_need_no_list():
    assert federated.crowd_table(crowd(federated.MOST_CLIENTS)) is None


def test_the_clients_are_listed_with_their_shares(federated_dir):
    table = federated.roster_table(read_json(federated_dir / "clients.json"))
    row = cells(table, "cc359")
    assert [row["volumes", split].text for split in ("train", "valid", "test")] == ["60", "3", "3"]
    assert [row["slices", split].text for split in ("train", "valid", "test")] == ["180", "9", "9"]
    assert row["images", "size"].text == "256×220"
    assert row["sampling", "accelerations"].text == "4×, 8×"
    weights = [volumes for volumes, *_ in CLIENTS.values()]
    shares = [f"{weight / sum(weights):.1%}" for weight in weights]
    assert [row[-1].text for row in table.rows] == shares


def test_what_was_not_measured_is_a_dash():
    metrics = crowd(2)
    metrics["rows"][1]["ssim"] = {"mean": None, "std": None}
    del metrics["rows"][1]["psnr"]
    (table,) = federated.comparison_tables(metrics)
    row = cells(table, "unet · FedAvg")
    assert row["PSNR (dB)", "c1"].text == row["SSIM", "c1"].text == tables.NOT_MEASURED
    assert row["PSNR (dB)", "worst client"].text == "c0 30.00"


def test_the_summary_compares_the_best_methods(metrics, communication, slices):
    lines = summary.summarise_clients(metrics, communication)
    best = max(
        (key for key in METHODS if key.startswith("derived")),
        key=lambda key: mean(slices, key, "all", "psnr"),
    )
    psnr = mean(slices, best, "all", "psnr")
    assert f"searched · FedAutoMRI, reaches {psnr:.2f} dB" in lines[0]
    assert "its worst client is modl_brain" in lines[0]
    gap = psnr - mean(slices, "fedautomri_baseline/fedavg", "all", "psnr")
    assert f"{gap:+.2f} dB" in lines[2]
    assert lines[3].endswith("the search 290 MB in 50 rounds with 4 clients.")
    assert lines[4].startswith("Without a network: zero-filled ")


def test_the_summary_of_a_search_speaks_of_the_search_only(communication):
    search = {"search": communication["search"]}
    assert summary.summarise_clients(None, search) == [
        "Clients and server exchange: the search 290 MB in 50 rounds with 4 clients."
    ]
    assert summary.summarise_clients(None, None) == []
