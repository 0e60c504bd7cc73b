"""Which files are read, and that what is left out is named and counted."""

import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.check import check_source
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.files import find_files, left_out
from jaxnas.data.make import make_dataset
from jaxnas.data.registry import READERS
from jaxnas.data.synthetic import SyntheticSource
from tests.data.clear import assert_one_clear_sentence

SUFFIXES = {name: reader.suffixes for name, reader in READERS.items()}


def dangling(folder, name):
    (folder / name).symlink_to("../.git/annex/objects/not-fetched")


def subfolder(folder, name):
    (folder / name).mkdir()


def hidden(folder, name):
    (folder / f".{name}").write_bytes(b"")


def notes(folder, name):
    (folder / "README.md").write_text("notes")


@pytest.fixture
def folder(tmp_path):
    """Two volumes."""
    make_dataset(tmp_path, SyntheticSource(volumes=2, slices=1, size=16))
    return tmp_path


@pytest.mark.parametrize("suffixes", SUFFIXES.values(), ids=SUFFIXES)
@pytest.mark.parametrize(
    ("make", "name", "counted"),
    [
        (dangling, "v.h5", True),
        (dangling, "a folder", True),
        (subfolder, "w.h5", True),
        (hidden, "v.h5", False),
        (notes, "", False),
    ],
)
def test_what_is_left_out_is_named_and_counted(folder, capsys, suffixes, make, name, counted):
    make(folder, name)
    files = find_files(folder, suffixes=suffixes)
    assert len(files) == 2
    assert left_out(folder, suffixes=suffixes) == [name] * counted
    said = capsys.readouterr().err
    assert said.count("\n") == counted
    if counted:
        assert f"{folder}: 1 of 3 entries left out: {name};" in said
    find_files(folder, suffixes=suffixes)
    assert capsys.readouterr().err == "", "once is enough"


def test_another_format_is_left_out(folder):
    (folder / "v.npz").write_bytes(b"")
    assert left_out(folder, suffixes=SUFFIXES["fastmri"]) == ["v.npz"]
    assert left_out(folder, suffixes=SUFFIXES["arrays"]) == []


@pytest.mark.parametrize(("make", "name"), [(dangling, "v.h5"), (subfolder, "w.h5")])
def test_check_has_a_problem_for_each(folder, make, name):
    make(folder, name)
    (problem,) = check_source(folder, reader=FastMRISource)
    assert problem.path == folder / name
    assert_one_clear_sentence(problem.message, folder / name)


def test_a_link_to_nothing_says_so(tmp_path):
    dangling(tmp_path, "v.h5")
    with pytest.raises(UserError, match=r"is a link to .*, which does not exist"):
        find_files(tmp_path / "v.h5")
    with pytest.raises(UserError, match=r"among the 1 entries .*\(1 cannot be used: v.h5\)"):
        find_files(tmp_path)
