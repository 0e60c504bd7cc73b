"""The runtime of a process: kept programs, freed memory."""

import os
import subprocess
import sys

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


CODE = """
import resource
import numpy as np
from jaxnas.core.runtime import keep_freed_memory
agreed = {agreed}
for _ in range(3):
    np.ones(16 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(16 << 20)
print(agreed, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_not_faulted_in_again():
    """Five arrays of 128 MiB, 4 KiB a page (or 2 MiB where the kernel gives huge ones)."""
    faults = {}
    for agreed in ("False", "keep_freed_memory()"):
        done = subprocess.run(
            [sys.executable, "-c", CODE.format(agreed=agreed)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        answer, count = done.stdout.split()
        faults[answer] = int(count)
    if "True" not in faults:
        pytest.skip("this C library has no mallopt")
    assert faults["True"] < 0.1 * faults["False"]


RETURNED = """
from pathlib import Path
import numpy as np
from jaxnas.core.runtime import keep_freed_memory, return_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

agreed = keep_freed_memory()
blocks = [np.ones(1 << 20) for _ in range(32)]
end = np.ones(1 << 20)  # so that the freed ones are not at the end of the heap
del blocks
kept = resident()
print(agreed and return_freed_memory(), kept - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_is_returned_when_asked():
    """32 blocks of 8 MiB."""
    done = subprocess.run([sys.executable, "-c", RETURNED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer, returned = done.stdout.split()
    if answer != "True":
        pytest.skip("this C library keeps what it likes")
    assert float(returned) > 200
