"""The test of the architecture: every method runs in every space and every setting from a config.

Spaces keep three of their operations here, and XLA does not optimise: compiling is all this costs.
"""

import dataclasses
import json

import jax
import pytest

from jaxnas.search.stage import METHODS
from jaxnas.spaces.registry import SPACES

CONFIG = """
data:
  synthetic: {volumes: 8, slices: 1, size: [16, 16]}
  split: {valid_fraction: 0, test_fraction: 0.25}
acquisition: {accelerations: [2], center_fractions: [0.2]}
network: {channels: 2, cells: 1, nodes: 1, cascades: 1}
search: {steps: 2, check_every: 1, patience: 1, candidates: 2}
train: {steps: 1}
"""
SETTINGS = {
    "central": "",
    "federated": (
        "federated: {partition: {method: even, clients: 2}, search_rounds: 2, local_steps: 1}\n"
    ),
}


@pytest.fixture(autouse=True)
def little_to_compile(monkeypatch):
    """Spaces of three operations (the last one `none` where there is one), compiled as they are."""
    for name, space in SPACES.items():
        few = (*space.operations[:2], space.operations[-1])
        monkeypatch.setitem(SPACES, name, dataclasses.replace(space, operations=few))
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("space", ["csmri_b", "fedautomri"])
@pytest.mark.parametrize("method", METHODS)
def test_every_combination_searches(method, space, setting, tmp_path, call):
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG + SETTINGS[setting])
    sets = ["--set", f"search.method={method}", "--set", f"network.space={space}"]
    result = call("search", config, "--workdir", tmp_path / "run", "--quiet", *sets)
    assert result.code == 0, result.err
    genotype = json.loads((tmp_path / "run" / "genotype.json").read_text())
    history = json.loads((tmp_path / "run" / "alphas.json").read_text())["history"]
    assert genotype["space"] == space and len(genotype["cells"]["normal"]) == 1
    # A stable genotype ends a differentiable search; random search records its candidates.
    steps = [1] if method != "random" else [2, 2]
    assert [record["step"] for record in history] == steps
    rounds = tmp_path / "run" / "communication.json"
    assert rounds.exists() is (setting == "federated")
    if rounds.exists():
        assert json.loads(rounds.read_text())["search"]["rounds"] == steps[-1]
