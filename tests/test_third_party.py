"""Somebody else's package: a task, a space, an operation and a reader by entry points alone.

`third_party/` is what pip would put on the path: a package, and a dist-info with entry points.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PACKAGE = Path(__file__).parent / "third_party"
LIMITS = {"task.py": 150, "space.py": 30, "reader.py": 40}
SITE = """
task: denoising
data:
  source: npy_folder
  path: volumes
  split: {valid_fraction: 0.2, test_fraction: 0.2}
network: {space: gains, channels: 4, cells: 1, nodes: 2}
search: {steps: 4, check_every: 2}
train: {steps: 4, validate_every: 2}
log_every: 2
"""
CLIENTS = """
base: site.yaml
search: {check_every: 1}
federated:
  partition: {method: even, clients: 2}
  search_rounds: 2
  rounds: 2
  local_steps: 2
  methods: [{strategy: fedavg}]
"""
RECONSTRUCTION = """
data: {source: npy_folder, path: volumes, split: {valid_fraction: 0.2, test_fraction: 0.2}}
network: {space: gains, channels: 4, cells: 1, nodes: 1, cascades: 1}
search: {steps: 2}
stages: [search, derive]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Volumes in the package's own format, and configs of its own task and of ours."""
    folder = tmp_path_factory.mktemp("visitor")
    (folder / "volumes").mkdir()
    for n in range(10):
        rng = np.random.default_rng(n)
        image = np.zeros((1, 16, 16), complex)
        image[:, 4:12, 4:12] = rng.uniform(0.5, 1.0, size=(1, 8, 8))
        kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, (1, 2))), (1, 2))
        np.save(folder / "volumes" / f"volume{n}.npy", kspace)
    (folder / "site.yaml").write_text(SITE)
    (folder / "clients.yaml").write_text(CLIENTS)
    (folder / "reconstruction.yaml").write_text(RECONSTRUCTION)
    return folder


def jaxnas(folder, *arguments, path=(PACKAGE,)):
    """A command in a process of its own, which finds the package as an installed one."""
    root = Path(__file__).parent.parent
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (root, *path)))}
    command = [sys.executable, "-m", "jaxnas", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("file", LIMITS)
def test_it_is_short(file):
    lines = (PACKAGE / "jaxnas_denoising" / file).read_text().splitlines()
    assert len(lines) <= LIMITS[file]


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["site", "clients"])
def test_its_task_runs_from_search_to_report(setting, folder):
    result = jaxnas(folder, "run", f"{setting}.yaml", "--workdir", setting, "--quiet")
    assert result.returncode == 0 and "warning" not in result.stderr, result.stderr
    run = folder / setting
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["task"] == "denoising"
    assert {row["model"] for row in metrics["rows"]} == {"noisy", "derived"}
    clients = {row.get("client") for row in metrics["rows"]}
    assert clients == ({None} if setting == "site" else {"client0", "client1", "all"})
    assert json.loads((run / "genotype.json").read_text())["space"] == "gains"
    page = (run / "report.html").read_text()
    for word in ("noisy", "searched", "psnr", "params", "gains"):
        assert word in page
    assert {"search.png", "alphas_normal.png", "cell_normal.png"} <= {
        path.name for path in (run / "figures").iterdir()
    }


@pytest.mark.slow
def test_its_space_and_its_reader_serve_reconstruction(folder):
    result = jaxnas(folder, "run", "reconstruction.yaml", "--workdir", "ours", "--quiet")
    assert result.returncode == 0, result.stderr
    assert json.loads((folder / "ours" / "genotype.json").read_text())["space"] == "gains"


def test_its_reader_checks_files(folder):
    result = jaxnas(folder, "data", "check", "volumes", "--source", "npy_folder")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "10 volumes, 10 slices, no problem found\n"


def test_without_it_the_names_are_unknown(folder):
    result = jaxnas(folder, "run", "site.yaml", path=())
    assert result.returncode == 2
    assert (
        "site.yaml:2: task: expected reconstruction or segmentation, found 'deno" in result.stderr
    )


def test_one_that_cannot_be_imported_takes_nothing_down(folder, tmp_path):
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    groups = ("tasks", "readers", "spaces")
    points = "".join(f"[jaxnas.{group}]\nbad = broken_module:X\n" for group in groups)
    (info / "entry_points.txt").write_text(points)
    result = jaxnas(
        folder, "data", "info", "volumes", "--source", "npy_folder", path=(PACKAGE, tmp_path)
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("package broken cannot be imported") == 1
    (folder / "bad.yaml").write_text("data: {path: x}\nnetwork:\n  space: bad\n")
    result = jaxnas(folder, "run", "bad.yaml", path=(tmp_path,))
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "bad.yaml:3: network.space: space 'bad': package broken cannot be" in result.stderr
