"""Files are whole or absent."""

import os

import pytest

from jaxnas.core import files
from jaxnas.core.errors import UserError


@pytest.mark.parametrize(("content", "stored"), [("é\n", "é\n".encode()), (b"\0\1", b"\0\1")])
def test_write_atomic_creates_folders_and_replaces(tmp_path, content, stored):
    path = tmp_path / "a" / "b"
    assert files.write_atomic(path, "old") == path
    files.write_atomic(path, content)
    assert path.read_bytes() == stored
    assert os.listdir(path.parent) == ["b"]
    assert path.stat().st_mode & 0o444 == 0o444


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = files.write_atomic(tmp_path / "a", "old")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"a: cannot be written \(no space left\)"):
        files.write_atomic(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_replacing_a_file_that_is_written_in_parts(tmp_path):
    path = tmp_path / "a" / "b"
    with files.replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and os.listdir(path.parent) == ["b"]
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "new" and os.listdir(path.parent) == ["b"]


def test_json_round_trip_keeps_order(tmp_path):
    value = {"b": 0.1, "a": [1, None]}
    path = files.write_json(tmp_path / "x.json", value)
    assert list(files.read_json(path)) == ["b", "a"] and files.read_json(path) == value
    assert path.read_text().endswith("}\n")


def test_nan_is_not_json(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "x.json", float("nan"))
    assert not (tmp_path / "x.json").exists()


def test_unreadable_json_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.json: no such file"):
        files.read_json(tmp_path / "absent.json")
    (tmp_path / "bad.json").write_text('{\n"a": }')
    with pytest.raises(UserError, match=r"bad\.json:2: not valid JSON"):
        files.read_json(tmp_path / "bad.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"bytes\.json: not a text file"):
        files.read_json(tmp_path / "bytes.json")
    with pytest.raises(UserError, match="cannot read"):
        files.read_json(tmp_path)
