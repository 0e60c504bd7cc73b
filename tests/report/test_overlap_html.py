"""The page of a segmentation run, whole and from whatever files there are."""

import re
import shutil

import pytest

from jaxnas.engine.rundir import RunDir
from jaxnas.report import html, inputs
from tests.report import fake_overlaps as fake_segmentation
from tests.report.page import check


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return fake_segmentation.write_run(tmp_path_factory.mktemp("runs") / "rtdnas", size=40)


@pytest.fixture(scope="module")
def report(run_dir, tmp_path_factory):
    copy = tmp_path_factory.mktemp("full") / "rtdnas"
    shutil.copytree(run_dir, copy)
    return html.write_report(copy)


def test_all_sections_and_figures_are_there(report):
    page = check(report)
    foreign = ("missing", "clients", "communication", "selection")
    assert page.ids == [name for name in html.SECTIONS if name not in foreign]
    names = {path.stem for path in (report.parent / "figures").iterdir()}
    cells = ("expand", "keep", "contract")
    assert names == {
        "pareto",
        "overlays",
        "calibration",
        "paths",
        "search",
        "training",
        *(f"cell_{cell}" for cell in cells),
        *(f"alphas_{cell}" for cell in cells),
    }
    assert len(page.sources) == len(names)
    assert not re.search(r"https?://|@import|<script", report.read_text())


def test_the_page_speaks_of_segmentation(report):
    text = report.read_text()
    assert "<h2>Segmentations</h2>" in text and "<h2>Searched cells and paths</h2>" in text
    assert "at most 50 ms, at least 22 frames a second" in text
    assert "of the network alone." in text and "Dijkstra (Nₗ = 3)" in text
    assert "input 0 is the input of the cell" in text
    assert "PSNR" not in text and "l−2" not in text


def test_the_page_is_a_function_of_the_files(report):
    before = report.read_bytes()
    assert html.write_report(report.parent).read_bytes() == before


@pytest.mark.parametrize("kept", ["metrics", "overlays", "calibration", "config"])
def test_any_single_file_makes_a_page(run_dir, tmp_path, kept):
    files = RunDir(tmp_path)
    shutil.copy(run_dir / files.name(kept), tmp_path)
    report = html.write_report(tmp_path)
    check(report)
    for entry in inputs.SEGMENTATION_FILES:
        listed = f"<li><code>{files.name(entry)}</code>" in report.read_text()
        assert listed == (entry != kept)


def test_a_poor_latency_model_is_said_to_be_one(run_dir, tmp_path):
    found = (run_dir / "calibration.json").read_text()
    warned = found.replace('"warning": null', '"warning": "the model ranks poorly"')
    (tmp_path / "calibration.json").write_text(warned)
    assert "the model ranks poorly." in html.write_report(tmp_path).read_text()
