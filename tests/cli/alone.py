"""Runs in processes of their own, as users start them.

What else a process has compiled before may change the last bits of a run.
"""

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
