"""Servers with a state of their own, and searches by any strategy, from the command line."""

import json

import pytest

CONFIG = """
data:
  synthetic: {volumes: 8, slices: 2, size: [16, 16]}
  split: {valid_fraction: 0.2, test_fraction: 0.2}
acquisition: {accelerations: [2], center_fractions: [0.2]}
network: {space: csmri_b, channels: 2, cells: 1, nodes: 1, cascades: 1, plan: stack}
search: {method: milenas}
train: {optimizer: {name: sgd, momentum: 0.0, rate: 0.01}}
evaluate: {classical: [zero_filled]}
federated:
  partition: {method: even, clients: 2}
  search_rounds: 2
  rounds: 2
  local_steps: 2
  search_strategy: {strategy: fedprox, mu: 0.1}
  methods:
    - {strategy: fedavg}
    - {strategy: fedavgm}
    - {strategy: fedadam, server_rate: 0.001}
    - {strategy: scaffold}
log_every: 1
checkpoint_every: 1
"""
METHODS = ("derived/fedavg", "derived/fedavgm", "derived/fedadam", "derived/scaffold")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The config file."""
    path = tmp_path_factory.mktemp("config") / "strategies.yaml"
    path.write_text(CONFIG)
    return path


def test_a_run_of_all_stages(config, call, tmp_path):
    """Rows, bytes and names of every method; SCAFFOLD sends twice as much as the others."""
    result = call("run", config, "--workdir", tmp_path / "run", "--quiet")
    assert result.code == 0, result.err
    rows = json.loads((tmp_path / "run" / "metrics.json").read_text())["rows"]
    found = {f"{row['model']}/{row['strategy']}" for row in rows if "strategy" in row}
    assert found == {*METHODS}
    sent = json.loads((tmp_path / "run" / "communication.json").read_text())
    assert {*sent} == {"search", *METHODS}
    size = sent["derived/fedavg"]["up"]
    ups = [sent[method]["up"] / size for method in METHODS]
    assert ups == [1, 1, 1, 2] == [sent[method]["down"] / size for method in METHODS]
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    penalised = {line["model"] for line in log if "penalty" in json.dumps(line)}
    assert penalised == {"csmri_b", "derived/scaffold"}
    report = (tmp_path / "run" / "report.html").read_text()
    assert all(name in report for name in ("FedAvgM", "FedAdam", "SCAFFOLD"))

    described = json.loads(call("inspect", config, "--json").out)["networks"]
    assert described[-1]["up"] == 2 * described[0]["up"] == described[-1]["down"]
    again = call("run", config, "--workdir", tmp_path / "run", "--quiet")
    assert again.code == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "federated.search_strategy={strategy: scaffold}",
            "federated.search_strategy: scaffold and a search.method cannot be combined, for its",
        ),
        (
            "train.optimizer.name=adam",
            "federated.methods[3].strategy: scaffold does not go with train.optimizer.name: adam,",
        ),
        (
            "train.optimizer.clip=1.0",
            "federated.methods[3].strategy: scaffold does not go with train.optimizer.clip: 1.0,",
        ),
    ],
)
def test_what_cannot_be_combined_is_refused_before_anything_is_written(
    config, call, tmp_path, change, message
):
    result = call("run", config, "--workdir", tmp_path / "run", "--set", change)
    assert result.code == 2 and message in result.err
    assert not (tmp_path / "run").exists()
