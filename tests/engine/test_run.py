"""The lock of a run directory, where there are locks and where there are none."""

import errno
import fcntl
import os

import pytest
from orbax.checkpoint._src.serialization import tensorstore_utils

from jaxnas.core.errors import UserError
from jaxnas.engine.run import locked

CONTEXTS = ("_BASE_TS_CONTEXT", "_DEFAULT_OCDBT_TS_CONTEXT")


def refuse(number):
    def flock(file, operation):
        raise OSError(number, os.strerror(number))

    return flock


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch, capsys, number):
    for name in CONTEXTS:  # the names are orbax's own: this test is to fail when they change
        monkeypatch.setattr(tensorstore_utils, name, dict(getattr(tensorstore_utils, name)))
    monkeypatch.setattr(fcntl, "flock", refuse(number))
    with locked(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "this file system has no locks" in said
    assert os.strerror(number) in said
    context = tensorstore_utils.get_ts_context()
    assert context.spec.to_json()["file_io_locking"] == {"mode": "non_atomic"}


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EACCES])
def test_another_process_is_another_process(tmp_path, monkeypatch, capsys, number):
    monkeypatch.setattr(fcntl, "flock", refuse(number))
    with pytest.raises(UserError, match="another process is working on this run"), locked(tmp_path):
        raise AssertionError("entered")
    assert capsys.readouterr().err == ""


def test_a_held_lock_is_a_held_lock(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(UserError, match="another process"),
        locked(tmp_path),
    ):
        raise AssertionError("entered")
    with locked(tmp_path):
        pass
