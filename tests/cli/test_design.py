"""The test of the architecture: every method runs in every space and every setting from a config.

Spaces keep three of their operations and cells one node: compiling is all this costs.
"""

import dataclasses

import pytest

from jaxnas.core.config import load_config
from jaxnas.core.registry import Entry
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
NO_FOLDS = ("reconstruction", "folds")  # its splits are by fractions or patterns
SETTINGS = {
    "site": "",
    "clients": (
        "federated: {partition: {method: even, clients: 2}, search_rounds: 2, local_steps: 1}\n"
    ),
}


@pytest.fixture(autouse=True)
def little_to_compile(monkeypatch, one_node):
    """Spaces of three operations (the last one `none` where there is one), compiled as they are."""
    for name, space in SPACES.items():
        few = (*space.operations[:2], space.operations[-1])
        smaller = dataclasses.replace(space, operations=few)
        monkeypatch.setitem(SPACES.own, name, Entry(smaller))


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
    assert all(len(found) == 1 for found in alphas["best"]["cells"].values())
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


WHOLE = {
    "reconstruction": """
stages: [search, derive, train, evaluate]
train: {steps: 2}
evaluate: {classical: [zero_filled]}
latency: {stack: 1, calls: 1, seconds: 0}
""",
    "segmentation": """
stages: [search, derive, train, evaluate]
decode: {methods: [dijkstra], paths: [1], pool: 1}
train: {models: [derived], steps: 2, batch: 2, statistics: 1}
evaluate: {calls: 1, seconds: 0}
""",
}
PLACES = {
    "site": [],
    "folds": ["data.split.method=modulo", "train.folds=[0,3]"],
    "clients": [
        "federated={partition: {method: even, clients: 2}, search_rounds: 2, rounds: 2, "
        "local_steps: 1, methods: [{strategy: fedavg, model: derived}]}"
    ],
}


@pytest.mark.parametrize("objective", ["accuracy", "bound"])
@pytest.mark.parametrize(
    ("task", "setting"),
    [(task, setting) for task in WHOLE for setting in PLACES if (task, setting) != NO_FOLDS],
)
def test_every_setting_goes_from_search_to_evaluation(task, setting, objective, tmp_path, call):
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    toy = {"reconstruction": RECONSTRUCTION, "segmentation": SEGMENTATION}[task]
    toy = "\n".join(line for line in toy.splitlines() if not line.startswith(("stages", "latency")))
    config.write_text(toy.replace("  objective: accuracy", "") + WHOLE[task])
    values = [*PLACES[setting], "latency.stack=1", f"search.objective={objective}"]
    write_table(tmp_path / "table.json", load_config(config, overrides=values))
    write_calibration(run)
    values.append(f"latency.table={tmp_path / 'table.json'}")
    result = call(
        "run", config, "--workdir", run, "--quiet", *(p for v in values for p in ("--set", v))
    )
    assert result.code == 0, result.err
    history = RunDir(run).alphas.read()["history"]
    assert all(record["latency_ms"] > 0 for record in history)
    metrics = RunDir(run).metrics.read()
    assert metrics["task"] == task
    derived = [row for row in metrics["rows"] if row["model"] == "derived"]
    clients = [*RunDir(run).communication.read()] if setting == "clients" else []
    assert clients == (["search", "derived/fedavg"] if setting == "clients" else [])
    named = {row.get("client") for row in derived}
    assert named == ({"client0", "client1", "all"} if clients else {None})
    if task == "segmentation":
        folds = derived[0]["folds"]
        assert (folds and folds["numbers"]) == ([0, 3] if setting == "folds" else None)
        assert all(row["latency_ms"]["p50"] > 0 and row["paths"] == 1 for row in derived)
    assert RunDir(run).genotype.exists() and all(row["params"] > 0 for row in derived)
