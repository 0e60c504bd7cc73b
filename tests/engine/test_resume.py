"""A run that is stopped, killed and started again ends in the bytes of an unbroken one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

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


def end(run_dir, number, *, lines, delay=0.0):
    """Starts the run and sends it a signal `delay` seconds after the log has `lines` lines.

    Returns the exit status and what the process said.
    """
    process = start(run_dir)
    while len(read_log(run_dir / "log.jsonl")) < lines:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(number)
    _, message = process.communicate(timeout=60)
    return process.returncode, message


def test_a_run_ended_early_three_times_ends_in_the_same_bytes(tmp_path):
    unbroken = finish(tmp_path / "unbroken")
    path = tmp_path / "broken"

    # SIGTERM: the step is finished and saved, the message says how to go on.
    status, message = end(path, signal.SIGTERM, lines=3)
    assert status == 130, message
    with CheckpointStore(path / "checkpoints") as store:
        saved = store.latest()
    assert 30 <= saved < STEPS
    assert f"after step {saved} of {STEPS}" in message and "same command" in message
    assert "Traceback" not in message

    # SIGKILL, at moments that differ from run to run: nothing is asked, nothing is lost.
    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    for lines in (6, 10):
        status, _ = end(path, signal.SIGKILL, lines=lines, delay=rng.uniform(0.0, 0.1))
        assert status == -signal.SIGKILL
    assert finish(path) == unbroken
