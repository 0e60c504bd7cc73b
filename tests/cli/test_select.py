"""A selection from the command line: a pool, its rungs, the winner's training gone on with."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from jaxnas.core.config import load_config
from jaxnas.core.registry import Entry
from jaxnas.engine import training
from jaxnas.engine.rundir import RunDir
from jaxnas.spaces.genotype import Genotype, load_genotype
from jaxnas.spaces.registry import SPACES
from tests.cli.known_device import write_calibration, write_table

CONFIG = """
data:
  synthetic: {volumes: 8, slices: 1, size: [16, 16]}
  split: {valid_fraction: 0.25, test_fraction: 0.25}
acquisition: {accelerations: [2], center_fractions: [0.2]}
network: {space: unrolled, channels: 2, cells: 1, nodes: 2, cascades: 1}
stages: [select, train, evaluate, report]
select: {candidates: 4, eta: 2, rungs: 2, arrangement: {cascades: [1, 2], cells: [1]}}
train: {models: [dccnn, derived], steps: 8}
evaluate: {classical: [zero_filled]}
log_every: 1
checkpoint_every: 3
"""
CLIENTS = (
    "federated={partition: {method: even, clients: 2}, search_rounds: 2, rounds: 4, "
    "local_steps: 2, methods: [{strategy: fedavg, model: derived}]}"
)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def sets(*values):
    return [part for value in values for part in ("--set", value)]


def read_rows(run):
    with RunDir(run).candidates.path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_derived(run):
    rows = RunDir(run).metrics.read()["rows"]
    return [row for row in rows if row["model"] == "derived"]


@pytest.mark.parametrize("setting", ["site", "clients"])
def test_the_selected_network_is_the_one_trained_alone(setting, config, tmp_path, call):
    """Its training is a prefix of the one that the stage train would have made: same scores."""
    more = sets(CLIENTS) if setting == "clients" else []
    run, alone = tmp_path / "run", tmp_path / "alone"
    result = call("run", config, "--workdir", run, *more)
    assert result.code == 0, result.err
    rows = read_rows(run)
    scores = [f"score_{n}" for n in ((1, 2) if setting == "clients" else (2, 4))]
    first = [float(row[scores[0]]) for row in rows]
    assert np.isfinite(first).all() and len({*first}) == len(rows)
    assert sum(bool(row[scores[1]]) for row in rows) == 2
    (winner,) = (row for row in rows if row["outcome"] == "selected")
    assert float(winner[scores[1]]) == max(float(r[scores[1]]) for r in rows if r[scores[1]])
    assert winner["genotype"] == json.dumps(
        load_genotype(run / "genotype.json").to_json(), separators=(",", ":")
    )
    derived = read_derived(run)
    assert {row["params"] for row in derived} == {int(winner["params"])}
    if setting == "clients":  # of the three others two stopped at round 1, one at round 2
        sent = RunDir(run).communication.read()["select"]
        assert sent["rounds"] == 4 and sent["clients"] == 2
        others = [int(row["params"]) for row in rows if row is not winner]
        reached = [2 if row[scores[1]] else 1 for row in rows if row is not winner]
        assert sent["total"] == 4 * 2 * 2 * sum(p * n for p, n in zip(others, reached))
    assert not list((run / "checkpoints").glob("select-*"))
    given = ("--genotype", run / "genotype.json", "--workdir", alone, *more)
    for command in (("train", config, *given), ("evaluate", alone)):
        again = call(*command, "--quiet")
        assert again.code == 0, again.err
    assert read_derived(alone) == derived


def stopping(run_loop, steps):
    """The loop, interrupted after so many steps of all its runs."""
    left = iter(range(steps))

    def stopped(advance, *args, **kwargs):
        def step(state, batch):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return advance(state, batch)

        return run_loop(step, *args, **kwargs)

    return stopped


def test_it_goes_on_after_every_interruption(config, tmp_path, call, monkeypatch):
    whole, parts, ends = tmp_path / "whole", tmp_path / "parts", []
    assert call("run", config, "--workdir", whole, "--quiet").code == 0
    while 0 not in ends and len(ends) < 10:
        with monkeypatch.context() as patch:
            patch.setattr(training, "run_loop", stopping(training.run_loop, 7))
            ends.append(call("run", config, "--workdir", parts, "--quiet").code)
    assert ends[-1] == 0 and len(ends) > 3
    for name in ("candidates.csv", "genotype.json", "metrics.json"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()


def test_training_waits_for_the_selection(config, tmp_path, call):
    result = call("train", config, "--workdir", tmp_path / "run")
    assert result.code == 2 and "not selected yet; run jaxnas search first" in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("data.split.valid_fraction=0", "select: no volume is set aside for validation"),
        ("select.budget.macs=10", "select.budget: 0 fit at most 10 macs"),
        ("select.arrangement={cascade: [1]}", "arrangement.cascade: space 'unrolled' does not"),
        ("select.arrangement={cells: [0]}", "arrangement.cells: found 0"),
        ("train.models=[dccnn]", "train.models does not train it"),
        ("select=null", "there is no section select"),
        ("stages=[train]", "stages leaves it out"),
        ("select.eta=5", "none could be dropped"),
        ("genotype=some.json", "this command searches for one"),
    ],
)
def test_what_cannot_be_selected_is_refused_before_anything_is_written(
    value, said, config, tmp_path, call
):
    result = call("run", config, "--workdir", tmp_path / "run", *sets(value))
    assert result.code == 2 and said in result.err
    assert not (tmp_path / "run").exists()


def test_a_training_of_a_given_genotype_is_not_taken_for_the_selected_one(config, tmp_path, call):
    run = tmp_path / "run"
    other = Genotype("unrolled", (("normal", ((("skip_connect", 0),), (("skip_connect", 0),))),))
    (tmp_path / "other.json").write_text(json.dumps(other.to_json()))
    result = call("train", config, "--workdir", run, "--genotype", tmp_path / "other.json")
    assert result.code == 0, result.err
    result = call("run", config, "--workdir", run, "--quiet")
    assert result.code == 2 and "holds a run of another config (genotype was" in result.err


def test_all_candidates_diverged(config, tmp_path, call):
    more = sets("train.optimizer.rate=1e30", "train.optimizer.name=sgd")
    result = call("run", config, "--workdir", tmp_path / "run", "--quiet", *more)
    assert result.code == 3 and "all 4 candidates diverged" in result.err
    assert {row["outcome"] for row in read_rows(tmp_path / "run")} == {"diverged"}
    again = call("run", config, "--workdir", tmp_path / "run", "--quiet", *more)
    assert again.code == 3


def test_it_follows_a_search(config, tmp_path, call, monkeypatch):
    run, few = tmp_path / "run", ("std_conv_3x3", "skip_connect", "none")
    smaller = dataclasses.replace(SPACES["unrolled"], operations=few)
    monkeypatch.setitem(SPACES.own, "unrolled", Entry(smaller))
    more = sets("stages=[search, derive, select, train]", "search.steps=4", "search.check_every=1")
    result = call("run", config, "--workdir", run, "--quiet", *more)
    assert result.code == 0, result.err
    assert "searched" in {row["origin"] for row in read_rows(run)}
    genotype = (run / "genotype.json").read_bytes()
    assert call("run", config, "--workdir", run, "--quiet", *more).code == 0
    assert (run / "genotype.json").read_bytes() == genotype


SEGMENTATION = """
task: segmentation
data:
  heart: {patients: 8, slices: 1, frames: 2, size: [16, 16]}
  size: [16, 16]
  spacing: null
  split: {valid_fraction: 0.25, test_fraction: 0.25}
network: {layers: 2, scales: 2, channels: 2, operations: [skip_connect, conv_3x3]}
stages: [select, train, evaluate, report]
select: {candidates: 3, eta: 3, rungs: 1, arrangement: {channels: [2, 3]}}
decode: {paths: [1, 2]}
latency: {stack: 1}
train: {models: [derived], steps: 6, batch: 2, statistics: 1}
evaluate: {calls: 1, seconds: 0}
log_every: 1
"""


@pytest.mark.parametrize("budget", ["null", "{ms: 1000, least: 0}"])
def test_a_segmentation_selects_too(budget, tmp_path, call):
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(SEGMENTATION)
    more = []
    if budget != "null":
        write_table(tmp_path / "table.json", load_config(config))
        write_calibration(run)
        more = sets(f"latency.table={tmp_path / 'table.json'}", f"select.budget={budget}")
        refused = call("run", config, "--workdir", tmp_path / "other", *more)
        assert refused.code == 2 and "leave select.arrangement out" in refused.err
        more += sets("select.arrangement={}")
    result = call("run", config, "--workdir", run, "--quiet", *more)
    assert result.code == 0, result.err
    rows = read_rows(run)
    (winner,) = (row for row in rows if row["outcome"] == "selected")
    assert float(winner["score_2"]) == max(float(row["score_2"]) for row in rows)
    assert all(0 <= float(row["score_2"]) <= 1 for row in rows)
    assert ("ms" in winner) is (budget != "null")
    (derived,) = read_derived(run)
    assert derived["params"] == int(winner["params"]) and derived["macs"] == int(winner["macs"])
    found = load_genotype(run / "genotype.json")
    assert found.to_json() == json.loads(winner["genotype"])
    assert (found.arrangement is None) is (budget != "null")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["latency.budget_ms=5"], "no model predicts networks of space unrolled"),
        (["latency.budget_ms=5", "network.space=csmri_a"], "latency or select.arrangement out"),
    ],
)
def test_no_latency_is_predicted_of_what_its_model_does_not_know(
    values, said, config, tmp_path, call
):
    result = call("run", config, "--workdir", tmp_path / "run", *sets(*values))
    assert result.code == 2 and said in result.err
    result = call("profile", config, "--out", tmp_path / "table.json")
    assert result.code == 2 and "no latency model knows unrolled" in result.err


def test_a_reconstruction_has_no_budget_in_milliseconds(config, tmp_path, call):
    result = call("run", config, "--workdir", tmp_path / "run", *sets("select.budget.ms=5"))
    assert result.code == 2 and "give select.budget.macs or params" in result.err
