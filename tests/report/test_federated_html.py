"""The page of a federated run, whole and from whatever files there are."""

import dataclasses
import json
import shutil

import pytest

from jaxnas.core.errors import UserError
from jaxnas.engine.rundir import RunDir
from jaxnas.report import gallery, html, inputs, texts
from tests.report import fake_federated
from tests.report.fake_federated import CLIENTS
from tests.report.page import check


@pytest.fixture(scope="module")
def report(federated_dir, tmp_path_factory):
    copy = tmp_path_factory.mktemp("full") / "fedautomri"
    shutil.copytree(federated_dir, copy)
    return html.write_report(copy)


def test_all_sections_and_figures_are_there(report):
    page = check(report)
    foreign = ("missing", "latency", "selection")
    assert page.ids == [name for name in html.SECTIONS if name not in foreign]
    names = {path.stem for path in (report.parent / "figures").iterdir()}
    assert names == {
        "cell_normal",
        "search",
        "search_clients",
        "alphas_normal",
        "training",
        "training_clients",
        "validation_clients",
        "clients",
        "tradeoff",
        "communication",
        *(f"reconstructions_{client}" for client in CLIENTS),
    }
    assert len(page.sources) == len(names)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)


def test_the_page_holds_the_tables(report):
    text = report.read_text()
    for caption in (
        "All accelerations; slices: fastmri 36, cc359 18, modl_brain 12, siat 6, all 72",
        "Ablation: manual and searched network",
        "6× acceleration",
        "modl_brain: all accelerations, n = 12 (mean ± std)",
        "Bytes between clients and server",
        "The clients, and their share of the averages",
    ):
        assert f"<caption>{caption}" in text
    assert "left out of the averages: fastmri_unet · FedProx 3." in text
    assert '<th scope="col">Per round (ms)</th>' in text
    assert '<th scope="row">the search</th>' in text


def test_details_are_folded(report):
    """At a glance: Table 1 and the ablation; all other tables of results open on demand."""
    results = report.read_text().split('<section id="results">')[1].split("</section>")[0]
    shown = results.split("<details>")[0]
    assert shown.count("<table>") == 2
    assert results.count("<table>") == 2 + 3 + (1 + len(CLIENTS)) + 1
    assert results.count("<details>") == 3


def test_the_page_is_of_reasonable_size(report):
    assert report.stat().st_size < 8e6


def test_after_the_search_only_the_search_exists(tmp_path):
    report = html.write_report(fake_federated.write_search(tmp_path / "search"))
    page, text = check(report), report.read_text()
    assert {"cell", "search", "communication", "missing"} <= set(page.ids)
    for entry in ("metrics", "slices", "every_client"):
        name = RunDir(report.parent).name(entry)
        assert f"<li><code>{name}</code>: {inputs.FEDERATED_FILES[entry]}</li>" in text
    assert "has no <code>metrics.json</code>" in text
    assert "has no <code>examples</code>" in text
    assert "examples.npz" not in text
    names = {path.stem for path in (report.parent / "figures").iterdir()}
    assert names == {"cell_normal", "search", "search_clients", "alphas_normal", "communication"}


def test_an_evaluation_without_rows_makes_a_page(federated_dir, tmp_path):
    shutil.copy(federated_dir / "config.yaml", tmp_path)
    (tmp_path / "metrics.json").write_text('{"rows": []}')
    check(html.write_report(tmp_path))


@pytest.mark.parametrize("kept", inputs.FEDERATED_FILES)
def test_any_single_file_beside_the_config_makes_a_page(federated_dir, tmp_path, kept):
    for entry in {kept, "config"}:
        name = RunDir(tmp_path).name(entry)
        copy = shutil.copytree if entry == "every_client" else shutil.copy
        copy(federated_dir / name, tmp_path / name)
    run = inputs.read_run(tmp_path)
    assert run.federated
    assert set(run.missing) == set(inputs.FEDERATED_FILES) - {kept, "config"}
    check(html.write_report(tmp_path))


@pytest.mark.parametrize(
    "kept", ["clients.json", "metrics.json", "log.jsonl", "communication.json", "examples"]
)
def test_clients_are_noticed_without_a_config(federated_dir, tmp_path, kept):
    copy = shutil.copytree if kept == "examples" else shutil.copy
    copy(federated_dir / kept, tmp_path / kept)
    run = inputs.read_run(tmp_path)
    assert run.federated
    if kept != "communication.json":
        assert set(run.clients) == set(CLIENTS)


def test_a_run_at_one_site_is_not_federated(run_dir, tmp_path):
    assert not inputs.read_run(run_dir).federated
    (tmp_path / "config.yaml").write_text("name: a\nfederated: null\n")
    assert not inputs.read_run(tmp_path).federated
    (tmp_path / "config.yaml").write_text("federated: [")
    assert not inputs.read_run(tmp_path).federated


def test_clients_come_in_the_order_of_the_evaluation(federated_dir):
    run = inputs.read_run(federated_dir)
    assert run.clients == tuple(CLIENTS)
    assert [example.client for example in gallery.pictured(run)] == list(CLIENTS)
    assert [example.acceleration for example in gallery.pictured(run)] == [8, 8, 6, 8]


def test_of_many_clients_some_are_pictured(federated_dir):
    run = inputs.read_run(federated_dir)
    (example, *_) = run.examples
    crowd = tuple(f"c{i}" for i in range(gallery.MOST_PICTURED + 3))
    examples = [dataclasses.replace(example, client=client) for client in crowd]
    run = dataclasses.replace(run, clients=crowd, examples=examples)
    assert [e.client for e in gallery.pictured(run)] == list(crowd[: gallery.MOST_PICTURED])
    assert "8 of 11 clients" in texts.section_texts(run)["images"]


def test_scores_are_those_of_the_clients_own_slice(federated_dir):
    """All clients call their volumes alike."""
    run = inputs.read_run(federated_dir)
    found = [inputs.slice_scores(run.slices, example) for example in run.examples]
    assert all(set(scores) == set(fake_federated.METHODS) for scores in found)
    assert len({scores["tv"] for scores in found}) == len(run.examples)


def test_a_broken_file_of_examples_is_named(federated_dir, tmp_path):
    shutil.copytree(federated_dir / "examples", tmp_path / "examples")
    (tmp_path / "examples" / "siat.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(UserError, match=r"siat\.npz: not a readable file"):
        html.write_report(tmp_path)


def test_the_genotype_with_weights_on_the_page_is_the_genotype(federated_dir):
    genotype = json.loads((federated_dir / "genotype.json").read_text())
    assert "weights" in genotype
    assert json.loads(texts.format_genotype(genotype)) == genotype
