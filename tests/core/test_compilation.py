"""The compilation cache: where it is, and when it is left alone."""

import os

import pytest

from jaxnas.core.runtime import forget_oldest, keep_compiled_programs

FOLDER = "JAX_COMPILATION_CACHE_DIR"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's cache folder, and an environment that does not name another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(FOLDER, "")
    monkeypatch.delenv(FOLDER)
    return tmp_path


def test_a_folder_below_the_cache_of_the_user(home):
    keep_compiled_programs()
    (folder,) = (home / "jaxnas" / "xla").iterdir()
    assert os.environ[FOLDER] == str(folder)


def test_the_users_own_folder_stands(home, monkeypatch):
    monkeypatch.setenv(FOLDER, "/elsewhere")
    keep_compiled_programs()
    assert os.environ[FOLDER] == "/elsewhere"
    assert not (home / "jaxnas").exists()


def test_a_home_that_cannot_be_written_to_is_no_error(home):
    (home / "jaxnas").write_text("in the way")
    keep_compiled_programs()
    assert FOLDER not in os.environ


def test_the_oldest_are_forgotten(tmp_path):
    for age, name in enumerate(("new", "middle", "old")):
        (tmp_path / name).write_bytes(b"12345678")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    forget_oldest(tmp_path, keep=16)
    assert {f.name for f in tmp_path.iterdir()} == {"new", "middle"}
    forget_oldest(tmp_path, keep=16)
    assert {f.name for f in tmp_path.iterdir()} == {"new", "middle"}


@pytest.mark.parametrize("why", ["no account", "read only"])
def test_a_user_without_a_home_is_told_once(why, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(FOLDER, "")
    monkeypatch.delenv(FOLDER)
    monkeypatch.setenv("HOME", str(tmp_path))
    if why == "no account":  # no HOME, and a user id that the system does not know
        monkeypatch.delenv("HOME")
        monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    else:
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    keep_compiled_programs()
    assert FOLDER not in os.environ
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{FOLDER} may name one" in said
