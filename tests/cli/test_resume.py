"""A run killed at a random moment and continued ends with the same bytes as one never stopped."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [sys.executable, "-m", "jaxnas", "run"]


def start(tiny, folder):
    return subprocess.Popen(
        [*COMMAND, str(tiny), "--workdir", str(folder), "--quiet"],
        stderr=subprocess.PIPE,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        text=True,
    )


def wait_for_log(process, folder, lines):
    """Returns once the run has logged `lines` lines, or has ended."""
    log = folder / "log.jsonl"
    while process.poll() is None:
        if log.exists() and log.read_text().count("\n") >= lines:
            return
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_and_continued(tiny, finished, tmp_path):
    folder = tmp_path / "killed"
    moment = random.Random()
    stops = [(signal.SIGKILL, moment.randint(1, 3)), (signal.SIGTERM, moment.randint(4, 8))]
    for number, lines in stops:
        process = start(tiny, folder)
        wait_for_log(process, folder, lines)
        time.sleep(moment.random() * 0.3)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=120)
        assert process.returncode in (-signal.SIGKILL, -signal.SIGTERM, 130, 0), stderr
    process = start(tiny, folder)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    for name in ("metrics.json", "slices.csv", "log.jsonl", "alphas.json", "genotype.json"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes(), name
