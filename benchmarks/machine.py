"""The machine that a figure was measured on."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

from benchmarks.peers import VARIABLES, interpreter
from benchmarks.suite import processors

OURS = ("jaxnas", "jax", "jaxlib", "flax", "optax", "numpy")
DISTRIBUTIONS = {"skimage": "scikit-image"}
VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


def describe_machine(suite: str) -> dict[str, dict[str, str]]:
    """`device` and `versions`, names to text; a peer that is missing says so."""
    device = {"processor": _processor(), "cores used": str(processors())}
    if suite == "gpu":
        device["gpu"] = _said(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv"])
    versions = {"python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in OURS}
    for package in VARIABLES:
        python, name = interpreter(package), DISTRIBUTIONS.get(package, package)
        versions[name] = _said([python, "-c", VERSION, name]) if python else "not installed"
    return {"device": device, "versions": versions}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _said(command: list[str]) -> str:
    """The last line that a command prints, `unknown` if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return (done.stdout.strip().splitlines() or ["unknown"])[-1]
