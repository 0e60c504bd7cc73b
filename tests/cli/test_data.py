"""`jaxnas data`: every layout written, checked and described, from the command line."""

import json
import os

import numpy as np
import pytest

from jaxnas.cli import app
from jaxnas.data.arrays import DOMAINS
from jaxnas.data.registry import LABELED_LAYOUTS, LABELED_READERS, LAYOUTS, READERS

SIZE = ("--size", 18, 16)


@pytest.fixture(scope="module")
def written(tmp_path_factory, call):
    """Two volumes of two slices in every layout."""
    folder = tmp_path_factory.mktemp("data")
    for layout, coils in (("fastmri", 1), ("modl_brain", 2), ("cc359", 1), ("cc359_multi", 2)):
        result = call(
            "data", "make", "--out", folder / layout, "--layout", layout, "--coils", coils,
            "--volumes", 2, "--slices", 2, *SIZE,
        )  # fmt: skip
        assert result.code == 0, result.err
        assert sorted(result.out.split()) == sorted(str(p) for p in (folder / layout).iterdir())
    return folder


def test_options_name_what_there_is():
    for options, known in (
        (app.LayoutName, [*LAYOUTS, *LABELED_LAYOUTS]),
        (app.SourceKind, [*READERS, *LABELED_READERS]),
        (app.Domain, DOMAINS),
    ):
        assert [option.value for option in options] == list(known)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_check_and_info(written, layout, call):
    arguments = (written / layout, "--source", layout.removesuffix("_multi"))
    checked = call("data", "check", *arguments)
    assert checked.code == 0 and "2 volumes, 4 slices, no problem found" in checked.out
    rows = json.loads(call("data", "info", *arguments, "--json").out)
    assert [(row["slices"], row["shape"], row["masked"]) for row in rows] == [
        (2, [18, 16], False)
    ] * 2
    assert [row["coils"] for row in rows] == [1 if layout in ("fastmri", "cc359") else 2] * 2
    assert all("subject" in row["labels"] for row in rows)
    assert "18×16" in call("data", "info", *arguments).out


def test_fastmri_is_the_default(written, call):
    assert call("data", "check", written / "fastmri").code == 0
    table = call("data", "info", written / "fastmri").out
    assert "AXT1" in table and "AXT2" in table


def test_arrays(tmp_path, call):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", t1=rng.uniform(size=(7, 9, 3)), t2=rng.uniform(size=(7, 9, 2)))
    arguments = ("--source", "arrays", "--domain", "magnitude", "--axes", "WHS")
    every = call("data", "info", tmp_path, *arguments, "--dataset", "*", "--json")
    rows = [(row["volume"], row["slices"], row["shape"]) for row in json.loads(every.out)]
    assert rows == [("a.npz:t1", 3, [9, 7]), ("a.npz:t2", 2, [9, 7])]
    one = call("data", "check", tmp_path, *arguments, "--dataset", "t2")
    assert one.code == 0 and "1 volumes, 2 slices" in one.out
    bad = call("data", "check", tmp_path, *arguments, "--dataset", "t3")
    assert bad.code == 2 and "no dataset 't3' (the file has: t1, t2)" in bad.err


@pytest.mark.parametrize("layout", ["modl_brain", "cc359", "cc359_multi"])
def test_check_names_a_truncated_file(written, layout, tmp_path, call):
    victim = sorted((written / layout).iterdir())[-1]
    copy = tmp_path / victim.name
    copy.write_bytes(victim.read_bytes())
    os.truncate(copy, copy.stat().st_size // 2)
    result = call("data", "check", tmp_path, "--source", layout.removesuffix("_multi"))
    assert result.code == 2 and str(copy) in result.err and "1 problem(s)" in result.err


def test_fields_of_arrays_belong_to_arrays(written, call):
    for command in ("check", "info"):
        result = call("data", command, written / "cc359", "--source", "cc359", "--axes", "SHW")
        assert result.code == 2 and "axes for the source 'arrays' only" in result.err
        assert result.err.count("\n") == 1, "once, not for every file"


def test_the_wrong_layout(written, call):
    result = call("data", "info", written / "fastmri", "--source", "modl_brain")
    assert result.code == 2 and "expected the MoDL-Brain layout" in result.err


def test_a_single_channel_has_one_coil(tmp_path, call):
    result = call("data", "make", "--out", tmp_path / "x", "--layout", "cc359", "--coils", 2, *SIZE)
    assert result.code == 2 and "write cc359_multi instead" in result.err
    assert not (tmp_path / "x").exists()
