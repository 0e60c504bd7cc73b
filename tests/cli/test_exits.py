"""How commands end: one line for what is known, a traceback for what is not."""

import errno
import io
import os
import subprocess
import sys

import jax
import pytest

from jaxnas.cli.exits import exit_code
from jaxnas.core.errors import UserError


def raising(error):
    def call():
        raise error

    return call


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "", "a [/x].txt"),
        PermissionError(errno.EACCES, "", "a [/x].txt"),
        OSError(errno.ENOSPC, "", "a [/x].txt"),
        OSError(errno.EIO, "", "a [/x].txt"),
    ],
)
def test_what_the_system_refuses_is_one_line(error, capsys):
    assert exit_code(raising(error)) == 2
    said = capsys.readouterr().err
    assert said == f"jaxnas: a [/x].txt: {os.strerror(error.errno)}\n"


@pytest.mark.parametrize(
    "mistake",
    [
        TypeError("x"),
        ValueError("x"),
        RuntimeError("x"),
        AssertionError("x"),
        OSError("without a number"),
        io.UnsupportedOperation("x"),
    ],
)
def test_a_mistake_in_the_program_keeps_its_traceback(mistake):
    with pytest.raises(type(mistake)):
        exit_code(raising(mistake))


@pytest.mark.parametrize("silent", [False, True])
def test_a_device_that_does_not_start_names_the_extra(silent, monkeypatch, capsys):
    """Some versions of JAX give a reason, others an AssertionError without a word."""
    reason = AssertionError() if silent else RuntimeError("Unable to initialize backend 'cuda': x")
    monkeypatch.setattr(jax, "devices", raising(reason))
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    assert exit_code(raising(reason)) == 2
    said = capsys.readouterr().err
    assert said.startswith("jaxnas: JAX_PLATFORMS=cuda: ") and said.count("\n") == 1
    assert 'pip install "jaxnas[gpu]"' in said


def test_a_reader_that_leaves_is_no_error(capsys):
    assert exit_code(raising(BrokenPipeError(errno.EPIPE, ""))) == 1
    assert capsys.readouterr().err == ""


def test_every_command_may_warn_alike(capsys):
    from jaxnas.core.notices import warn

    for _ in range(2):
        assert exit_code(lambda: [warn("the same"), warn("the same")]) == 0
    assert capsys.readouterr().err == "jaxnas: warning: the same\n" * 2


def test_messages_cannot_move_the_cursor(capsys):
    assert exit_code(raising(UserError("a\x1b[2J.h5: x\nb.h5: y"))) == 2
    assert capsys.readouterr().err == "jaxnas: a\\x1b[2J.h5: x\nb.h5: y\n"


@pytest.fixture(scope="module")
def one_file(tmp_path_factory):
    from jaxnas.data.make import make_dataset
    from jaxnas.data.synthetic import SyntheticSource

    folder = tmp_path_factory.mktemp("data")
    make_dataset(folder, SyntheticSource(volumes=1, slices=1, size=(16, 16)))
    return folder


def shell(command, *, env=None):
    """The exit code and the messages of a command line, in a shell with `jaxnas`."""
    program = f'jaxnas() {{ "{sys.executable}" -m jaxnas "$@"; }}; {command}'
    done = subprocess.run(
        ["bash", "-c", program], env={**os.environ, **(env or {})}, capture_output=True, text=True
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_stdout_is_one_line(one_file):
    code, err = shell(f"jaxnas data info {one_file} > /dev/full")
    assert code == 2 and err.startswith("jaxnas: standard output: cannot be written (No space")
    assert err.count("\n") == 1


def test_a_closed_pipe_is_silent(one_file):
    code, err = shell(f"jaxnas data info {one_file} | true; exit ${{PIPESTATUS[0]}}")
    assert (code, err) in [(1, ""), (0, "")]  # 0 where all was written before `true` ended


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["tpu", "nonsense"])
def test_a_missing_plugin_is_one_line(platform, tmp_path):
    (tmp_path / "c.yaml").write_text("network: {channels: 2}\n")
    code, err = shell(f"jaxnas inspect {tmp_path}/c.yaml", env={"JAX_PLATFORMS": platform})
    assert code == 2 and err.count("\n") == 1
    assert err.startswith(f"jaxnas: JAX_PLATFORMS={platform}: JAX cannot start this device")
