"""Files are whole or absent.

What the system refuses becomes one sentence that names the output.
"""

import errno
import io
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


REFUSALS = [
    (errno.ENOSPC, "No space left on device", "free some space"),
    (errno.EDQUOT, "quota exceeded", "free some space"),
    (errno.EROFS, "Read-only file system", "can be written to"),
    (errno.EACCES, "Permission denied", "permissions"),
    (errno.EPERM, "not permitted", "permissions"),
    (errno.ENOTDIR, "Not a directory", "below a folder"),
    (errno.EISDIR, "Is a directory", "name of a file"),
    (errno.ENAMETOOLONG, "File name too long", "shorter name"),
    (errno.EFBIG, "File too large", "ulimit"),
    (errno.EIO, "Input/output error", "another place"),
]


@pytest.mark.parametrize(("number", "reason", "remedy"), REFUSALS)
def test_every_refusal_says_what_and_what_to_do(number, reason, remedy):
    with pytest.raises(UserError) as caught, files.writing("out/a.h5"):
        raise OSError(number, os.strerror(number), "out/.a.h5.tmp")
    text = str(caught.value)
    assert text.startswith("out/a.h5: cannot be written (") and "\n" not in text
    assert reason.lower() in text.lower() and remedy in text


@pytest.mark.parametrize("mistake", [ValueError("x"), KeyError("x"), io.UnsupportedOperation("x")])
def test_a_mistake_in_the_program_stays_one(mistake):
    with pytest.raises(type(mistake)) as caught, files.writing("out"):
        raise mistake
    assert not isinstance(caught.value, UserError)


@pytest.mark.parametrize("name", ["file", "file/below", "file/below/deeper", "n" * 300])
def test_folders_that_cannot_be_made_are_found_before(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    for check in (files.check_output_folder, lambda p: files.check_output_file(p / "net")):
        with pytest.raises(UserError, match=r"(Not a directory|name too long)\); choose a"):
            check(tmp_path / name)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["", "new", "new/deeper", "old", "link/x"])
def test_folders_that_can_be_made_are_left_to_be_made(tmp_path, name, monkeypatch):
    (tmp_path / "old").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "old")
    files.check_output_folder(tmp_path / name)
    files.check_output_file(tmp_path / name / "net")
    monkeypatch.chdir(tmp_path)
    files.check_output_folder(name or ".")
    assert sorted(os.listdir(tmp_path)) == ["link", "old"]


def test_a_folder_is_no_file_and_may_not_be_closed(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"Is a directory\); give the name of a file"):
        files.check_output_file(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(UserError, match=r"new: cannot be written \(Permission denied\)"):
        files.check_output_folder(tmp_path / "new")


def test_a_read_only_file_system_is_found_before(tmp_path, monkeypatch):
    class ReadOnly:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "statvfs", lambda path: ReadOnly)
    with pytest.raises(UserError, match=r"new: cannot be written \(Read-only file system\)"):
        files.check_output_folder(tmp_path / "new")
