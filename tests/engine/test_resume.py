"""A run that is stopped or killed and started again ends in the bytes of an unbroken one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.logs import read_log
from tests.engine.tiny_run import STEPS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ("result.npz", "log.jsonl")


def start(run_dir):
    """Starts, or continues, the run in its own process."""
    command = [sys.executable, "-W", "error", "-m", "tests.engine.tiny_run", str(run_dir)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(run_dir):
    """Runs to the end; returns the bytes of the results."""
    process = start(run_dir)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return [(run_dir / name).read_bytes() for name in RESULTS]


def wait_for_lines(run_dir, process, count):
    """Returns once the log has `count` lines."""
    while len(read_log(run_dir / "log.jsonl")) < count:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Results of a run that nobody disturbed."""
    return finish(tmp_path_factory.mktemp("unbroken"))


def test_sigterm_saves_at_the_step_and_the_same_command_continues(tmp_path, unbroken):
    process = start(tmp_path)
    wait_for_lines(tmp_path, process, 3)
    process.send_signal(signal.SIGTERM)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130, message
    with CheckpointStore(tmp_path / "checkpoints") as store:
        saved = store.latest()
    assert 30 <= saved < STEPS
    assert f"after step {saved} of {STEPS}" in message and "same command" in message
    assert "Traceback" not in message
    assert finish(tmp_path) == unbroken


def test_kill_at_random_moments_changes_nothing(tmp_path, unbroken):
    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    for lines in (1, 12):
        process = start(tmp_path)
        wait_for_lines(tmp_path, process, lines)
        time.sleep(rng.uniform(0.0, 0.15))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert finish(tmp_path) == unbroken
