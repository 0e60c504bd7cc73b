"""The same mathematics written with other libraries, and the Python that has each library.

A peer with requirements of its own lives in its own environment; the variable beside its package
names that environment's Python. Without it the Python of the suite is used.
"""

import functools
import os
import subprocess
import sys

VARIABLES = {
    "torch": "JAXNAS_TORCH_PYTHON",
    "flwr": "JAXNAS_FLOWER_PYTHON",
    "fedjax": "JAXNAS_FEDJAX_PYTHON",
    "sigpy": "JAXNAS_SIGPY_PYTHON",
    "skimage": "JAXNAS_SKIMAGE_PYTHON",
}
FIND = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


@functools.cache
def interpreter(package: str | None) -> str | None:
    """The Python that has `package`, None if there is none; for our own programs this one."""
    if package is None:
        return sys.executable
    python = os.environ.get(VARIABLES[package], sys.executable)
    found = subprocess.run([python, "-c", FIND, package], check=False).returncode == 0
    return python if found else None


def missing(package: str) -> str:
    """The excuse of a peer that no Python was found for."""
    return f"peer not installed ({package}; name a Python that has it in {VARIABLES[package]})"
