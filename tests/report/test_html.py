"""One self-contained page from whatever subset of files a run directory holds."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from jaxnas.core.errors import UserError
from jaxnas.engine.rundir import RunDir
from jaxnas.report import html, inputs, summary, texts
from tests.report.page import check


@pytest.fixture(scope="module")
def report(run_dir, tmp_path_factory):
    copy = tmp_path_factory.mktemp("full") / "nas_csmri"
    shutil.copytree(run_dir, copy)
    return html.write_report(copy)


def test_the_page_is_self_contained(report):
    page = check(report)
    assert page.links == [f"#{name}" for name in page.ids]
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not re.search(r"https?://|@import|<script", report.read_text())


def test_all_sections_and_figures_are_there(report):
    page = check(report)
    foreign = ("missing", "clients", "communication", "latency", "selection")
    assert page.ids == [name for name in html.SECTIONS if name not in foreign]
    names = {path.stem for path in (report.parent / "figures").iterdir()}
    assert names == {
        "cell_normal",
        "search",
        "alphas_normal",
        "training",
        "tradeoff",
        "reconstructions_4x",
        "reconstructions_8x",
    }
    assert len(page.sources) == len(names)


def test_the_page_says_how_it_was_measured_and_made(report):
    text = report.read_text()
    assert "data range = maximum of the target slice" in text
    assert "jaxnas run nas_csmri/config.yaml --workdir nas_csmri-again" in text
    assert "space: csmri_a" in text


def test_the_page_is_a_function_of_the_files(report):
    before = report.read_bytes()
    assert html.write_report(report.parent).read_bytes() == before


def test_the_genotype_on_the_page_is_the_genotype(run_dir):
    genotype = json.loads((run_dir / "genotype.json").read_text())
    assert json.loads(texts.format_genotype(genotype)) == genotype


@pytest.mark.parametrize("kept", [*inputs.FILES, None])
def test_any_single_file_makes_a_page(run_dir, tmp_path, kept):
    if kept:
        shutil.copy(run_dir / RunDir(run_dir).name(kept), tmp_path)
    report = html.write_report(tmp_path)
    page, text = check(report), report.read_text()
    assert "missing" in page.ids
    for entry in inputs.FILES:
        listed = f"<li><code>{RunDir(tmp_path).name(entry)}</code>" in text
        assert listed == (entry != kept)


def test_the_summary_speaks_only_of_what_was_evaluated():
    row = {
        "model": "derived",
        "acceleration": "all",
        "params": 142272,
        "macs": 14568652800,
        "psnr": {"mean": 29.83, "std": 6.7},
        "ssim": {"mean": 0.6204, "std": 0.27},
    }
    assert summary.summarise_run({"rows": [row]}) == [
        "The searched network reaches 29.83 dB (SSIM 0.6204) with 142.3K parameters and "
        "14.57G MACs."
    ]
    baseline = row | {"model": "rdn", "psnr": {"mean": 29.49, "std": 6.5}}
    assert "+0.34 dB" in summary.summarise_run({"rows": [baseline, row]})[-1]
    assert summary.summarise_run({"rows": []}) == []


def test_wrong_inputs_are_the_users_errors(tmp_path):
    with pytest.raises(UserError, match="no such run directory"):
        html.write_report(tmp_path / "absent")
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(UserError, match=r"metrics\.json:1"):
        html.write_report(tmp_path)
    (tmp_path / "metrics.json").unlink()
    (tmp_path / "examples.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(UserError, match=r"examples\.npz"):
        html.write_report(tmp_path)


def test_importing_the_report_needs_neither_matplotlib_nor_jax():
    code = (
        "import sys, jaxnas.report.html\n"
        "print([m for m in ('matplotlib', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
