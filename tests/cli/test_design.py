"""The test of the architecture: every method runs in every space and every setting from a config.

Spaces keep three of their operations here: compiling is all this costs.
"""

import dataclasses

import pytest

from jaxnas.core.config import load_config
from jaxnas.engine.rundir import RunDir
from jaxnas.search.methods import METHODS
from jaxnas.spaces.registry import SPACES
from tests.cli.known_device import write_calibration, write_table

RECONSTRUCTION = """
data:
  synthetic: {volumes: 8, slices: 1, size: [16, 16]}
  split: {valid_fraction: 0, test_fraction: 0.25}
acquisition: {accelerations: [2], center_fractions: [0.2]}
network: {channels: 2, cells: 1, nodes: 1, cascades: 1}
search: {steps: 2, check_every: 1, patience: 1, candidates: 2}
"""
SEGMENTATION = """
task: segmentation
stages: [search]
data:
  heart: {patients: 8, slices: 1, frames: 2, size: [16, 16]}
  size: [16, 16]
  spacing: null
  split: {test_fraction: 0.25}
network: {layers: 2, scales: 2, channels: 2, operations: [skip_connect, conv_3x3]}
latency: {stack: 1}
search: {steps: 2, check_every: 1, patience: 1, candidates: 2, warmup: 0, batch: 2, channels: 4,
  objective: accuracy}
"""
CONFIGS = {"csmri_b": RECONSTRUCTION, "fedautomri": RECONSTRUCTION, "rtdnas": SEGMENTATION}
WAYS = [*((method, "first") for method in METHODS), ("darts", "second")]
SETTINGS = {
    "site": "",
    "clients": (
        "federated: {partition: {method: even, clients: 2}, search_rounds: 2, local_steps: 1}\n"
    ),
}


@pytest.fixture(autouse=True)
def little_to_compile(monkeypatch):
    """Spaces of three operations (the last one `none` where there is one), compiled as they are."""
    for name, space in SPACES.items():
        few = (*space.operations[:2], space.operations[-1])
        monkeypatch.setitem(SPACES, name, dataclasses.replace(space, operations=few))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("space", CONFIGS)
@pytest.mark.parametrize(
    ("method", "order"), [*((m, "first") for m in METHODS), ("darts", "second")]
)
def test_every_combination_searches(method, order, space, setting, tmp_path, call):
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(CONFIGS[space] + SETTINGS[setting])
    values = [f"search.method={method}", f"search.order={order}", f"network.space={space}"]
    if space == "rtdnas":
        write_table(tmp_path / "table.json", load_config(config))
        write_calibration(run)
        values.append(f"latency.table={tmp_path / 'table.json'}")
    sets = [part for value in values for part in ("--set", value)]
    command = "run" if space == "rtdnas" else "search"
    result = call(command, config, "--workdir", run, "--quiet", *sets)
    assert result.code == 0, result.err
    alphas = RunDir(run).alphas.read()
    assert alphas["space"] == alphas["best"]["space"] == space
    nodes = 3 if space == "rtdnas" else 1
    assert all(len(found) == nodes for found in alphas["best"]["cells"].values())
    assert alphas["best"] in [record["genotype"] for record in alphas["history"]]
    for record in alphas["history"]:
        assert record["valid_loss"] > 0
        for name, table in record["weights"].items():
            assert len(table) == len(alphas["cells"][name])
    assert RunDir(run).genotype.exists() is (space != "rtdnas")  # whose paths are still to decode
    # What stays the same ends a differentiable search; random search records its candidates.
    steps = [1] if method != "random" else [2, 2]
    assert [record["step"] for record in alphas["history"]] == steps
    rounds = RunDir(run).communication
    assert rounds.exists() is (setting == "clients")
    if rounds.exists():
        assert rounds.read()["search"]["rounds"] == steps[-1]
