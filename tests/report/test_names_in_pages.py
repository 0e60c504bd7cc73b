"""Names of clients and runs on a page are text, whatever they are made of."""

import json
import shutil
from html import escape

import pytest

from jaxnas.report import html
from tests.report.fake_federated import CLIENTS
from tests.report.page import check

NAME = "<b>a$b$c & [red]"


@pytest.fixture(scope="module")
def report(federated_dir, tmp_path_factory):
    """The page of a run whose first client is called `NAME`, in every file of the run."""
    copy = tmp_path_factory.mktemp("names") / "<i>run & [x]"
    shutil.copytree(federated_dir, copy)
    first = next(iter(CLIENTS))
    for path in copy.iterdir():
        if path.suffix in (".json", ".jsonl", ".csv"):
            text = path.read_text()
            new = NAME if path.suffix == ".csv" else json.dumps(NAME)[1:-1]
            for mark in ('"{}"', '/{}"', "\n{},", ",{},"):
                text = text.replace(mark.format(first), mark.format(new))
            path.write_text(text)
    for path in (copy / "examples").glob(f"{first}.*"):
        path.rename(path.with_stem(NAME))
    return html.write_report(copy)


def test_names_are_text(report):
    check(report)
    page = report.read_text()
    assert escape(NAME) in page and escape("<i>run & [x]") in page
    assert "<b>" not in page and "<i>" not in page
    assert (report.parent / "figures" / f"reconstructions_{NAME}.png").is_file()
