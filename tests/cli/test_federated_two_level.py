"""A segmentation across clients, from its search to its report, as a user types it."""

import json

import numpy as np
import pytest

from jaxnas.core.config import load_config
from jaxnas.fed.clients import open_clients
from jaxnas.segmentation.dataset import LabeledData
from tests.cli.known_device import write_calibration, write_table

TINY = """
task: segmentation
stages: [train, evaluate, report]
data:
  heart: {patients: 8, slices: 1, frames: 2, size: [16, 16]}
  size: [16, 16]
  spacing: null
  split: {test_fraction: 0.25}
network: {layers: 2, scales: 2, channels: 2, operations: [skip_connect, conv_3x3], unet_channels: 2}
latency: {stack: 1, calibration: 3, budget_ms: 1000}
search: {method: milenas, batch: 2, channels: 4, warmup: 1, check_every: 1, objective: bound}
decode: {methods: [constrained], paths: [1], pool: 2}
train: {batch: 2, statistics: 2}
evaluate: {calls: 3, seconds: 0}
federated:
  partition: {method: even, clients: 2}
  search_rounds: 2
  rounds: 2
  local_steps: 1
  backend: loop
  methods:
    - {strategy: fedavg, model: unet2d}
    - {strategy: non_fed, model: unet2d}
log_every: 1
checkpoint_every: 1
"""
STRATEGIES = ("fedavg", "non_fed")
CLIENTS = ("client0", "client1")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, one_node):
    """The config, and a table in which every part of a network takes a tenth of a millisecond."""
    folder = tmp_path_factory.mktemp("config")
    path = folder / "hearts.yaml"
    path.write_text(TINY.replace("latency: {", f"latency: {{table: {folder}/table.json, "))
    write_table(folder / "table.json", load_config(path))
    return path


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory, call):
    """The run directory of the config, its stages done."""
    folder = tmp_path_factory.mktemp("run") / "hearts"
    done = call("run", tiny, "--workdir", folder, "--quiet")
    assert done.code == 0, done.err
    return folder


def read(path):
    return json.loads(path.read_text())


@pytest.mark.slow
def test_a_search_across_clients_and_its_network(tiny, call, tmp_path):
    """Under the latency of the table; every client adds the same gradient of it."""
    write_calibration(tmp_path)
    result = call("search", tiny, "--workdir", tmp_path, "--quiet")
    assert result.code == 0, result.err
    history = read(tmp_path / "alphas.json")["history"]
    assert [record["step"] for record in history] == [1, 2] and history[0]["latency_ms"] > 0
    assert set(read(tmp_path / "communication.json")) == {"search"}
    assert read(tmp_path / "genotype.json")["space"] == "rtdnas"


@pytest.mark.slow
def test_every_method_is_scored_at_every_client(finished, tiny):
    metrics = read(finished / "metrics.json")
    assert metrics["task"] == "segmentation"
    places = [(row["model"], row["strategy"], row["client"]) for row in metrics["rows"]]
    assert places == [("unet2d", s, c) for s in STRATEGIES for c in (*CLIENTS, "all")]
    cohort = open_clients(load_config(tiny), LabeledData())
    tested = [len(dataset.volumes("test")) for dataset in cohort.members.values()]
    assert [row["n"] for row in metrics["rows"][:3]] == [*tested, sum(tested)]
    for first in range(0, 3 * len(STRATEGIES), 3):
        *own, pooled = metrics["rows"][first : first + 3]
        means = [row["dice"]["mean"]["mean"] for row in own]
        assert pooled["dice"]["mean"]["mean"] == pytest.approx(
            np.average(means, weights=tested), rel=1e-5
        )
        assert all(row["latency_ms"]["p50"] > 0 and row["params"] > 0 for row in own)


@pytest.mark.slow
def test_what_is_kept_of_the_clients(finished):
    """The roster, the bytes, and the batch statistics of every client."""
    assert [entry["name"] for entry in read(finished / "clients.json")] == [*CLIENTS]
    sent = read(finished / "communication.json")
    assert set(sent) == {f"unet2d/{s}" for s in STRATEGIES}
    params = read(finished / "metrics.json")["rows"][0]["params"]
    assert sent["unet2d/fedavg"]["up"] == 4 * params and sent["unet2d/non_fed"]["up"] == 0
    folder = finished / "statistics"
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(found) == {f"unet2d-{s}-{c}.msgpack" for s in STRATEGIES for c in CLIENTS}
    assert len(set(found.values())) == len(found)  # of other images, or under other weights


@pytest.mark.slow
def test_the_report_shows_the_clients(finished):
    page = (finished / "report.html").read_text()
    assert "average Dice at" in page and "U-Net 2D · FedAvg" in page
    assert all(client in page for client in CLIENTS)
    assert "Bytes between clients and server" in page


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("federated.methods=[{strategy: fedavg, model: decoded}]", "stands for several networks"),
        ("federated.methods=[{strategy: fedavg, model: unet3d}]", "unknown network 'unet3d'"),
        ("train.folds=[0, 1]", "are of one site"),
        ("federated.partition.by=scanner", "'scanner' is no label of these patients"),
    ],
)
def test_what_cannot_be_is_refused(setting, words, tiny, call, tmp_path):
    natural = ("--set", "federated.partition={method: natural}") if ".by" in setting else ()
    arguments = (*natural, "--set", setting, "--workdir", tmp_path / "run")
    result = call("train", tiny, *arguments)
    assert result.code == 2 and words in result.err
    assert not (tmp_path / "run").exists()
