"""A run killed at a random moment and continued ends with the same bytes as one never stopped."""

import random
import signal
import time

import pytest

from tests.cli.alone import run_alone, start_alone

FILES = ("metrics.json", "slices.csv", "log.jsonl", "alphas.json", "genotype.json")


def wait_for_log(process, folder, lines):
    """Returns once the run has logged `lines` lines, or has ended."""
    log = folder / "log.jsonl"
    while process.poll() is None:
        if log.exists() and log.read_text().count("\n") >= lines:
            return
        time.sleep(0.02)


def check_continued(config, finished, folder, lines, files):
    """Ends a run after each of the lines of its log, by that signal, and compares it with an
    unbroken one: after SIGTERM it may finish what it is doing."""
    moment = random.Random()
    for number, line in lines.items():
        process = start_alone(config, folder)
        wait_for_log(process, folder, line)
        time.sleep(moment.random() * 0.3)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=120)
        assert process.returncode in (-signal.SIGKILL, -signal.SIGTERM, 130, 0), stderr
    run_alone(config, folder)
    for name in files:
        assert (folder / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_and_continued(tiny, finished, tmp_path):
    lines = {signal.SIGKILL: random.randint(1, 3), signal.SIGTERM: random.randint(4, 8)}
    check_continued(tiny, finished, tmp_path / "killed", lines, FILES)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_federated_killed_and_continued(tiny_federated, federated, tmp_path):
    """In the middle of a round as well: a round leaves nothing behind until it is over."""
    lines = {random.choice((signal.SIGKILL, signal.SIGTERM)): random.randint(1, 20)}
    files = (*FILES, "communication.json", "clients.json")
    check_continued(tiny_federated, federated, tmp_path / "killed", lines, files)
