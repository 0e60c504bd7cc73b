"""Runs in processes of their own, as users start them.

What else a process has compiled before may change the last bits of a run.
"""

import fcntl
import os
import shutil
import subprocess
import sys

PATIENCE = 540  # seconds; below the limit of a test, which would leave the process behind


def start_alone(config, folder):
    """Starts a run in a process of its own."""
    command = [sys.executable, "-m", "jaxnas", "run", str(config), "--workdir", str(folder)]
    return subprocess.Popen([*command, "--quiet"], stderr=subprocess.PIPE, text=True)


def run_alone(config, folder):
    """A whole run in a process of its own, to its end."""
    with start_alone(config, folder) as process:
        try:
            _, stderr = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()  # nothing where it has ended
    assert process.returncode == 0, stderr


def run_once(config, factory, name):
    """A whole run for this worker of the tests alone: one worker makes it, and all copy it."""
    shared, own = factory.getbasetemp(), factory.mktemp("run") / name
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / name).exists():
            run_alone(config, shared / f"{name}.begun")
            (shared / f"{name}.begun").rename(shared / name)
    return shutil.copytree(shared / name, own)
