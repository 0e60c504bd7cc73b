"""A whole segmentation run, and its commands, as a user types them."""

import json

import jax
import nibabel
import numpy as np
import pytest

from jaxnas.cli.segment import load_predictor
from jaxnas.data.heart import HeartSource
from jaxnas.data.layouts import make_acdc
from jaxnas.engine.networks import Choice
from jaxnas.engine.run import open_run
from jaxnas.search.latency_table import load_table, save_table
from tests.cli.alone import run_alone

TINY = """
task: segmentation
data:
  heart: {patients: 5, slices: 2, frames: 2, size: [32, 32]}
  size: [32, 32]
  spacing: null
  split: {test_fraction: 0.2}
network: {layers: 2, scales: 2, channels: 4, operations: [skip_connect, conv_3x3], unet_channels: 4}
latency: {stack: 2, calibration: 3, budget_ms: 1000}
search: {objective: accuracy, steps: 4, batch: 2, channels: 4, warmup: 1, check_every: 2}
decode:
  {methods: [dijkstra, ga, constrained, random], paths: [2], pool: 2, generations: 3, draws: 1}
train: {models: [decoded, unet2d], steps: 4, batch: 2, statistics: 2}
evaluate: {calls: 3, seconds: 0}
log_every: 2
checkpoint_every: 2
"""
# A search under a latency refuses a calibration that a busy machine has made worthless.
EXACT = {"a": 1, "b": 0, "n": 3, "mape": 0, "raw_mape": 0, "raw_bias_ms": 0, "spearman": 1}
EXACT |= {"kendall": 1, "predicted_ms": [1, 2, 3], "measured_ms": [1, 2, 3]}
NETWORKS = ["derived_dijkstra_2", "derived_ga_2", "derived_constrained_1000ms", "random_1"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "heart.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "heart"
    run_alone(tiny, folder)
    return folder


def read(path):
    return json.loads(path.read_text())


@pytest.mark.slow
def test_a_run_leaves_everything(finished):
    rows = {row["model"]: row for row in read(finished / "metrics.json")["rows"]}
    assert [*rows] == [*NETWORKS, "unet2d"]
    for name, row in rows.items():
        assert row["n"] == 2 and row["params"] > 0 and row["macs"] > 0
        assert {scope["scope"] for scope in row["timings"]} == {"model", "transfer", "end_to_end"}
        assert row["latency_ms"]["p50"] > 0 and row["throughput_fps"] > 0
        assert (row["decoder"] is not None) == (name in NETWORKS)
    assert rows["derived_ga_2"]["paths"] == 2
    fit = read(finished / "calibration.json")
    assert fit["n"] == len(fit["predicted_ms"]) == 3
    history = read(finished / "alphas.json")["history"]
    assert [record["step"] for record in history] == [2, 4] and "latency_ms" in history[0]
    assert "Hausdorff" in (finished / "report.html").read_text()


@pytest.mark.slow
def test_the_same_network_is_trained_once(finished):
    rows = {row["model"]: row for row in read(finished / "metrics.json")["rows"]}
    trained = {path.name for path in (finished / "checkpoints").iterdir()}
    assert "train-derived_dijkstra_2" in trained and "train-derived_ga_2" not in trained
    assert rows["derived_ga_2"]["dice"] == rows["derived_dijkstra_2"]["dice"]


@pytest.mark.slow
def test_constrained_holds_its_budget(finished):
    found = read(finished / "networks.json")["derived_constrained_1000ms"]
    assert found["measured_ms"] <= found["budget_ms"] == 1000


@pytest.mark.slow
def test_decode_and_profile(finished, tiny, call, tmp_path):
    result = call("decode", finished, "--method", "exhaustive", "--paths", 2, "--out", tmp_path)
    assert result.code == 0, result.err
    written = read(tmp_path / "derived_exhaustive_2.json")
    assert len(written["paths"]) == 2 and "derived_exhaustive_2" in result.out
    result = call("decode", finished, "--method", "constrained", "--budget", 1e-6)
    assert result.code == 2 and "no network fits" in result.err and "fastest" in result.err
    result = call("decode", finished, "--method", "random", "--draws", 2, "--paths", 2)
    assert result.code == 0, result.err
    assert {path.name for path in (finished / "decoded").iterdir()} == {
        "random_1.json",
        "random_2.json",
    }
    result = call("decode", finished, "--method", "constrained", "--budget", 0)
    assert result.code == 2 and "--budget: expected milliseconds above 0" in result.err
    own = load_table(finished / "latency_table.json")
    result = call("profile", tiny, "--out", tmp_path / "table.json")
    assert result.code == 0, result.err
    assert load_table(tmp_path / "table.json").entries.keys() == own.entries.keys()


@pytest.mark.slow
def test_segment_a_cine(finished, call, tmp_path):
    source = HeartSource(patients=1, slices=2, size=(36, 30), frames=3, phases="all", seed=7)
    (patient,) = make_acdc(tmp_path / "data", source)
    cine = patient / "patient001_4d.nii.gz"
    result = call("segment", finished, cine, "--out", tmp_path / "out", "--model", "unet2d")
    assert result.code == 0, result.err
    found, given = nibabel.load(tmp_path / "out" / cine.name), nibabel.load(cine)
    assert found.shape == given.shape and np.array_equal(found.affine, given.affine)
    assert set(np.unique(found.dataobj)) <= {0, 1, 2, 3}
    summary = read(tmp_path / "out" / "latency.json")[cine.name]
    assert summary["frames"] == 3 and summary["total"]["p50"] > 0
    result = call("segment", finished, cine, "--out", tmp_path / "out")
    assert result.code == 2 and "--model is missing: the run has" in result.err
    result = call("reconstruct", finished, cine, "--out", tmp_path / "out")
    assert result.code == 2 and "jaxnas segment" in result.err


@pytest.mark.slow
@pytest.mark.parametrize("model", ["derived_ga_2", "unet2d"])
def test_export_answers_as_the_predictor(finished, call, tmp_path, model):
    path = tmp_path / "net.bin"
    result = call("export", finished, "--out", path, "--model", model)
    assert result.code == 0, result.err
    side = read(tmp_path / "net.bin.json")
    assert side["model"] == model and "(b, 32, 32)" in side["inputs"]["image"]
    assert "logits of background, rv, myo, lv" in side["output"] and len(side["preparation"]) == 4
    function = jax.export.deserialize(bytearray(path.read_bytes()))
    predictor = load_predictor(open_run(finished), Choice(model))
    for slices in (1, 3):
        stack = np.random.default_rng(slices).normal(size=(slices, 32, 32)).astype(np.float32)
        logits = function.call(stack)
        assert logits.shape == (slices, 32, 32, 4) and logits.dtype == np.float32
        found = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        np.testing.assert_allclose(found, predictor.predict(stack), atol=1e-5)
        assert np.ptp(found) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "options, message",
    [
        ([], "--model is missing: the run has derived_dijkstra_2,"),
        (["--model", "unet3d"], "--model unet3d: not in this run; it has derived_dijkstra_2,"),
        (["--model", "unet2d", "--fold", 1], "--fold 1: the run has no folds; leave --fold out"),
        (["--model", "unet2d", "--strategy", "fedavg"], "leave --strategy out"),
    ],
)
def test_networks_that_cannot_be_exported(finished, call, tmp_path, options, message):
    result = call("export", finished, "--out", tmp_path / "net.bin", *options)
    assert result.code == 2 and message in result.err
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_tables_that_do_not_fit(finished, tiny, call, tmp_path):
    table, path = load_table(finished / "latency_table.json"), tmp_path / "table.json"
    missing = next(key for key in table.entries if key.startswith("conv_3x3"))
    entries = {key: entry for key, entry in table.entries.items() if key != missing}
    options = ("--set", f"latency.table={path}", "--workdir", tmp_path / "run")
    save_table(path, table.__class__(table.device, table.jax, table.precision, 2, entries))
    result = call("search", tiny, *options)
    assert result.code == 2 and missing in result.err
    save_table(path, table.__class__("TPU v9", table.jax, table.precision, 2, table.entries))
    result = call("search", tiny, *options)
    assert result.code == 2 and "TPU v9" in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "setting, message",
    [
        ("train.models=[unet3d]", "unknown network 'unet3d'"),
        ("train.folds=[0]", "train.folds"),
        ("data.size=[30, 32]", "divisible by 4"),
        ("decode.paths=[3]", "more than the pool"),
        ("decode={paths: [3]}", "a grid of 2 layers and 2 scales has 2"),
        ("decode.name=ms_nas", "name 'ms_nas' is for a single network, but 4 are made"),
        ("decode={name: unet2d, methods: [ga], paths: [1]}", "decode.name: 'unet2d' is what"),
        ("network.operations=[conv_3x3]", "operations"),
        ("stages=[train]", "no network is derived yet"),
        ("task=reconstruct", "expected reconstruction or segmentation"),
    ],
)
def test_bad_settings(tiny, call, tmp_path, setting, message):
    result = call("run", tiny, "--set", setting, "--workdir", tmp_path / "run")
    assert result.code == 2 and message in result.err, result.err
    assert not (tmp_path / "run").exists()


def genotype(**more):
    """A network of the tiny config, as a file of another run has it."""
    cells = [[["conv_3x3", 0]], [["skip_connect", 0], ["skip_connect", 1]]]
    cells = {name: [*cells, cells[1]] for name in ("expand", "keep", "contract")}
    return {"space": "rtdnas", "cells": cells, "paths": [[0, 1, 0]]} | more


@pytest.mark.parametrize(
    "value, setting, message",
    [
        (genotype(), "genotypes.unet2d", "genotypes: 'unet2d' is what another network is called"),
        (genotype(), "genotypes.derived_ga_2", "'derived_ga_2' is what another network is called"),
        (genotype(paths=[[0, 1, 1]]), "genotypes.ms_nas", "paths[0] ends at scale 1"),
        (genotype(paths=[[0, 1, 1, 0]]), "genotypes.ms_nas", "a network of 2 layers needs 3"),
        (genotype(space="csmri_a"), "genotypes.ms_nas", "belongs to space 'csmri_a'"),
        (None, "genotypes.ms_nas", "found.json: no such file"),
    ],
)
def test_bad_genotypes(tiny, call, tmp_path, value, setting, message):
    file = tmp_path / "found.json"
    if value is not None:
        file.write_text(json.dumps(value))
    options = ("--set", f"{setting}={file}", "--workdir", tmp_path / "run")
    result = call("run", tiny, *options, "--set", "train.models=[decoded, ms_nas]")
    assert result.code == 2 and message in result.err, result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_another_search_names_its_network(finished, tiny, call, tmp_path):
    """As MS-NAS and hardware-aware NAS: choices relaxed apart, one network by Dijkstra."""
    settings = (
        "search={objective: add_linear, relaxation: separate, steps: 2, warmup: 0, channels: 4}",
        "decode={name: hw_nas, methods: [dijkstra], paths: [2], pool: 2}",
        f"latency.table={finished / 'latency_table.json'}",
    )
    options = [option for setting in settings for option in ("--set", setting)]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "calibration.json").write_text(json.dumps(EXACT))
    result = call("search", tiny, *options, "--workdir", tmp_path / "run", "--quiet")
    assert result.code == 0, result.err
    facts = read(tmp_path / "run" / "networks.json")
    assert [*facts] == ["hw_nas"] and facts["hw_nas"]["decoder"] == "dijkstra"
    found = read(tmp_path / "run" / "genotypes" / "hw_nas.json")
    assert found == read(tmp_path / "run" / "genotype.json") and len(found["paths"]) == 2


@pytest.mark.slow
def test_networks_found_elsewhere_are_compared_by_name(tiny, call, tmp_path):
    own, other = tmp_path / "own.json", tmp_path / "other.json"
    own.write_text(json.dumps(genotype()))
    other.write_text(json.dumps(genotype(paths=[[0, 0, 0], [0, 1, 0]])))
    options = ["--set", "stages=[train, evaluate, report]", "--set", f"genotypes.hw_nas={other}"]
    options += ["--genotype", own, "--set", "train={models: [derived, hw_nas], steps: 2, batch: 2}"]
    result = call("run", tiny, *options, "--workdir", tmp_path / "run", "--quiet")
    assert result.code == 0, result.err
    rows = {row["model"]: row for row in read(tmp_path / "run" / "metrics.json")["rows"]}
    assert {name: row["paths"] for name, row in rows.items()} == {"derived": 1, "hw_nas": 2}
    assert rows["hw_nas"]["params"] > rows["derived"]["params"]
    assert "HW-aware NAS" in (tmp_path / "run" / "report.html").read_text()
    assert read(tmp_path / "run" / "genotypes" / "hw_nas.json")["paths"] == [[0, 0, 0], [0, 1, 0]]
    # The run keeps what it was given, and refuses another network under the same name.
    other.unlink()
    result = call("evaluate", tmp_path / "run", "--quiet")
    assert result.code == 0, result.err
    other.write_text(json.dumps(genotype()))
    result = call("evaluate", tmp_path / "run", "--quiet")
    assert result.code == 2 and "differs from the genotype already in" in result.err


def test_inspect_knows_networks_found_elsewhere(tiny, call, tmp_path):
    file = tmp_path / "found.json"
    file.write_text(json.dumps(genotype()))
    options = ("--set", f"genotypes.ms_nas={file}", "--set", "train.models=[decoded, ms_nas]")
    found = json.loads(call("inspect", tiny, "--json", *options).out)
    assert [row["model"] for row in found["networks"]] == ["derived", "ms_nas"]


def test_inspect(tiny, call):
    result = call("inspect", tiny, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["paths"] == 2 and [row["model"] for row in found["networks"]] == [
        "derived",
        "unet2d",
    ]
    size = ("--set", "data.size=[160, 160]", "--set", "network.layers=10")
    found = json.loads(call("inspect", tiny, *size, "--set", "network.scales=4", "--json").out)
    assert (found["paths"], found["cells"]) == (2135, 70)


def test_data_commands(call, tmp_path):
    result = call("data", "make", "--layout", "acdc", "--volumes", 2, "--slices", 2, "--size", 32,
                  32, "--out", tmp_path)  # fmt: skip
    assert result.code == 0, result.err
    result = call("data", "check", tmp_path, "--source", "acdc")
    assert result.code == 0 and "2 patients" in result.out, result.err
    rows = json.loads(call("data", "info", tmp_path, "--source", "acdc", "--json").out)
    assert {row["patient"] for row in rows} == {"patient001", "patient002"}
    (tmp_path / "patient002" / "Info.cfg").unlink()
    result = call("data", "check", tmp_path, "--source", "acdc")
    assert result.code == 2 and "Info.cfg" in result.err
