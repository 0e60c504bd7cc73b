"""Commands that cannot write: one line, exit code 2, nothing half-written."""

import errno
import os
import subprocess
import sys

import pytest

from jaxnas.data.make import make_dataset
from jaxnas.data.synthetic import SyntheticSource

LAYOUTS = ("fastmri", "modl_brain", "cc359", "cc359_multi", "acdc")
NETWORK = ("--model", "dccnn")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Three small fully sampled files."""
    folder = tmp_path_factory.mktemp("inputs")
    make_dataset(folder, SyntheticSource(volumes=3, slices=1, size=(32, 32)))
    return folder


def writers(run, config, inputs):
    """Every command that writes, as arguments but for the place."""
    made = ("--volumes", 3, "--slices", 1, "--size", 16, 16)
    apply = ("reconstruct", run, inputs, *NETWORK, "--acceleration", 4)
    return {
        "reconstruct": (*apply, "--out"),
        "segment": ("segment", run, inputs, "--out"),
        "export": ("export", run, *NETWORK, "--out"),
        "profile": ("profile", config, "--out"),
        **{f"make {x}": ("data", "make", "--layout", x, *made, "--out") for x in LAYOUTS},
        **{x: (x, config, "--quiet", "--workdir") for x in ("run", "train", "evaluate", "report")},
        "search": ("search", config, "--quiet", "--workdir"),
    }


COMMANDS = list(writers(None, None, None))
COMPUTED = ("reconstruct", "export", *(f"make {x}" for x in LAYOUTS), "search")


def files(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def said(result):
    """The one line of a command that could not write."""
    lines = [line for line in result.err.splitlines() if line.startswith("jaxnas: ")]
    assert result.code == 2 and len(lines) == 1, result.err
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_the_way_is_named_before_anything_is_computed(
    call, tmp_path, tiny, inputs, command, place
):
    (tmp_path / "file").write_text("mine")
    # Not a run: what is wrong with the place comes first.
    arguments = writers(tmp_path, tiny, inputs)[command]
    target = tmp_path / place / "out" if command in ("export", "profile") else tmp_path / place
    line = said(call(*arguments, target))
    assert f"{target}: cannot be written (Not a directory)" in line
    assert files(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", COMPUTED)
def test_a_full_disk_leaves_nothing(call, finished, tiny, inputs, tmp_path, monkeypatch, command):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    arguments = writers(finished, tiny, inputs)[command]
    monkeypatch.setattr(os, "fsync", full)
    line = said(call(*arguments, tmp_path / "out"))
    assert "cannot be written (No space left on device); free some space" in line
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "command", ["reconstruct", "make fastmri", "make cc359", "make cc359_multi"]
)
def test_what_was_whole_stays_and_is_named(
    call, finished, tiny, inputs, tmp_path, monkeypatch, command
):
    """The disk is full at the second of three files."""
    synced, sync = [], os.fsync

    def fills_up(handle):
        synced.append(handle)
        if len(synced) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    arguments = writers(finished, tiny, inputs)[command]
    monkeypatch.setattr(os, "fsync", fills_up)
    result = call(*arguments, tmp_path)
    (whole,) = files(tmp_path)
    assert whole in result.out + result.err
    assert whole not in said(result) and len(synced) == 2


@pytest.mark.parametrize("layout", ["modl_brain", "cc359_multi"])
def test_a_disk_that_refuses_hdf5_ends_no_process(tmp_path, layout):
    """A limit of file sizes is as good as a full disk, and needs no rights to be set."""
    sizes = "--volumes 2 --slices 2 --size 32 32"
    program = f'"{sys.executable}" -m jaxnas data make --layout {layout} {sizes} --out "{tmp_path}"'
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 4; exec {program}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and "cannot be written (File too large)" in done.stderr
    assert files(tmp_path) == []


def test_a_finished_run_that_is_read_only_can_still_be_applied(
    call, finished, inputs, tmp_path, monkeypatch
):
    """Nothing is written into a run by what only reads it."""
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    out = tmp_path / "out"
    assert (
        call("reconstruct", finished, inputs, *NETWORK, "--acceleration", 4, "--out", out).code == 0
    )
    assert call("export", finished, *NETWORK, "--out", out / "net").code == 0
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before


def test_markup_in_a_name_is_a_name(call, finished, inputs, tmp_path):
    out = tmp_path / "[red]out [" / "x]"
    result = call("reconstruct", finished, inputs, *NETWORK, "--acceleration", 4, "--out", out)
    assert result.code == 0 and result.err.count(str(out)) == 3 and len(files(out)) == 3
