import csv
import json

import h5py
import jax
import numpy as np
import pytest

from jaxnas.core.config import load_config
from jaxnas.data.fastmri import open_volume
from jaxnas.engine.logs import read_log

RUN_FILES = (
    "config.yaml genotype.json alphas.json metrics.json slices.csv log.jsonl timings.json "
    "examples.npz examples.json report.html"
).split()


def test_every_file_of_a_run_is_there(finished):
    assert {name for name in RUN_FILES if not (finished / name).is_file()} == set()
    assert list(finished.glob("events.out.tfevents.*"))
    assert list((finished / "figures").glob("*.png"))
    assert not [p for p in finished.rglob("*") if p.name.startswith(".") and p.name != ".lock"]


def test_metrics_rows(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert (metrics["schema"], metrics["task"]) == (1, "reconstruction")
    places = [(row["model"], row["acceleration"]) for row in metrics["rows"]]
    models = ["zero_filled", "tv", "dccnn", "derived"]
    assert places == [(model, a) for model in models for a in (4, 8, "all")]
    for row in metrics["rows"]:
        assert row["n"] == (4 if row["acceleration"] == "all" else 2)
        assert 0 < row["psnr"]["mean"] < 60 and row["psnr"]["std"] >= 0
        assert set(row["volume"]) == {"psnr", "ssim", "nmse"}
        assert (row["params"] > 0) is (row["model"] in {"dccnn", "derived"})
    with (finished / "slices.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * 2 * len(models)


def test_alphas_and_log_tell_the_search(finished):
    alphas = json.loads((finished / "alphas.json").read_text())
    assert [record["step"] for record in alphas["history"]] == [2, 4, 6]
    assert alphas["history"][-1]["genotype"] == json.loads((finished / "genotype.json").read_text())
    rows = read_log(finished / "log.jsonl")
    assert [r["step"] for r in rows if r["stage"] == "search"] == [2, 4, 6]
    steps = {r["model"]: [] for r in rows if r["stage"] == "train"}
    for r in rows:
        if r["stage"] == "train" and "valid_psnr" in r:
            steps[r["model"]].append(r["step"])
    assert steps == {"dccnn": [4, 8], "derived": [4, 8]}


def test_a_finished_run_does_nothing_twice(finished, tiny, call):
    before = {name: (finished / name).read_bytes() for name in ("metrics.json", "log.jsonl")}
    result = call("run", tiny, "--workdir", finished, "--quiet")
    assert result.code == 0, result.err
    assert before == {name: (finished / name).read_bytes() for name in before}


def test_evaluate_and_report_take_a_run_directory(finished, call):
    before = (finished / "metrics.json").read_bytes()
    for command in ("evaluate", "report"):
        result = call(command, finished, "--quiet")
        assert result.code == 0, result.err
    assert (finished / "metrics.json").read_bytes() == before


def test_the_resolved_config_is_the_config(finished, tiny):
    assert load_config(finished / "config.yaml") == load_config(tiny)


def check_reconstruction(run, tmp_path, call, *, coils):
    """Makes two odd-sized files, reconstructs them, and compares with their targets."""
    made = call("data", "make", "--out", tmp_path / "in", "--volumes", 2, "--slices", 2,
                "--size", 33, 40, "--coils", coils)  # fmt: skip
    assert made.code == 0, made.err
    files = sorted((tmp_path / "in").glob("*.h5"))
    out = ["--out", tmp_path / "out", "--model", "dccnn"]
    refused = call("reconstruct", run, *files, *out)
    assert refused.code == 2 and "--acceleration 4" in refused.err
    assert not list(tmp_path.glob("out/*"))
    result = call("reconstruct", run, *files, *out, "--acceleration", 4)
    assert result.code == 0, result.err
    for path in files:
        with h5py.File(tmp_path / "out" / path.name) as file:
            images = file["reconstruction"][:]
        assert images.shape == (2, *open_volume(path).image_size) and images.dtype == np.float32
        with h5py.File(path) as file:
            target = file["reconstruction_rss"][:]
        # In the file's own units, and closer to the target than an empty image.
        assert np.linalg.norm(images - target) < 0.8 * np.linalg.norm(target)


def test_reconstruct_files(finished, tmp_path, call):
    check_reconstruction(finished, tmp_path, call, coils=1)


def test_several_coils_need_a_finite_weight(finished, tiny, tmp_path, call):
    """Refused in the noiseless limit, trained and applied by conjugate gradients with λ."""
    sets = ["--set", "data.synthetic.coils=4", "--set", "train.models=[dccnn]"]
    refused = call("train", tiny, "--workdir", tmp_path / "refused", *sets)
    assert refused.code == 2 and "network.lam" in refused.err
    sets += ["--set", "network.lam=20", "--set", "network.cg_iterations=4"]
    result = call("train", tiny, "--workdir", tmp_path / "run", "--quiet", *sets)
    assert result.code == 0, result.err
    check_reconstruction(tmp_path / "run", tmp_path, call, coils=4)
    single = call(
        "reconstruct", finished, tmp_path / "in", "--out", tmp_path / "no", "--acceleration", 4
    )
    assert single.code == 2 and "4 coils" in single.err


def test_export_runs_without_the_library(finished, tmp_path, call):
    path = tmp_path / "net.bin"
    assert call("export", finished, "--out", path, "--model", "dccnn").code == 0
    side = json.loads((tmp_path / "net.bin.json").read_text())
    assert side["model"] == "dccnn" and "(b, 32, 32)" in side["inputs"]["kspace"]
    function = jax.export.deserialize(bytearray(path.read_bytes()))
    kspace = np.ones((3, 32, 32), np.complex64)
    kspace[1] = 0
    image = function.call(kspace, np.ones((3, 1, 32), np.float32))
    assert image.shape == (3, 32, 32) and np.isfinite(image).all()
    assert image[0].any() and not image[1].any(), "an empty slice stays empty"


@pytest.mark.parametrize(
    ("setting", "records"), [("search.order=second", 3), ("search.method=random", 4)]
)
def test_other_methods(setting, records, tiny, tmp_path, call):
    """They run from the same config and write the same files; random search its candidates."""
    sets = ["--set", setting, "--set", "network.nodes=1", "--set", "network.channels=2"]
    result = call("search", tiny, "--workdir", tmp_path / "run", "--quiet", *sets)
    assert result.code == 0, result.err
    alphas = json.loads((tmp_path / "run" / "alphas.json").read_text())
    assert alphas["best"]["space"] == "csmri_a" and len(alphas["history"]) == records


@pytest.mark.parametrize(("nodes", "params"), [(2, 107_712), (3, 142_272), (4, 176_832)])
def test_inspect_counts_the_papers_parameters(nodes, params, call, tmp_path):
    path = tmp_path / "g.json"
    node = [["sep_conv_3x3", 0], ["dil_2_conv_3x3", 1]]
    path.write_text(json.dumps({"space": "csmri_a", "cells": {"normal": [node] * nodes}}))
    for arguments in (["--genotype", path], []):
        result = call("inspect", "configs/nas_csmri/train.yaml", "--json", *arguments,
                      "--set", f"network.nodes={nodes}")  # fmt: skip
        assert result.code == 0, result.err
        assert json.loads(result.out)["params"] == params


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("unet", 3_348_536),
        ("fastmri_unet", 7_756_418),
        ("dccnn", 170_022),
        ("dccnn_11", 613_926),
        ("modl", 56_674),
        ("modl_11", 204_642),
        ("rdn", 86_790),
        ("rdn_8", 86_790),
    ],
)
def test_inspect_baselines(name, params, call):
    result = call("inspect", f"configs/baselines/{name}.yaml", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["networks"][0]["params"] == params


def test_compare_runs(finished, call):
    result = call("compare", finished, "--by", "nodes")
    assert result.code == 0, result.err
    assert "| Nodes |" in result.out and "\n| 2 |" in result.out


def test_bfloat16_has_to_keep_the_quality(finished, tmp_path, call, monkeypatch):
    """Within the budget it is used, beyond it float32 is, and the message says which."""
    made = call("data", "make", "--out", tmp_path / "in", "--volumes", 1, "--slices", 3,
                "--size", 32, 32)  # fmt: skip
    assert made.code == 0, made.err
    images = {}
    for name, budget, options in (
        ("own", 0.01, ()),
        ("narrow", 100.0, ("--precision", "bfloat16")),
        ("wide", -1.0, ("--precision", "bfloat16")),
    ):
        monkeypatch.setattr("jaxnas.reconstruction.deploy.BUDGET_DB", budget)
        result = call("reconstruct", finished, tmp_path / "in", "--out", tmp_path / name,
                      "--acceleration", 4, *options)  # fmt: skip
        assert result.code == 0, result.err
        assert "slices/s, compiled in" in result.err
        if options:
            used = {"narrow": "bfloat16", "wide": "float32"}[name]
            assert f"{used} is used" in result.err
        (path,) = (tmp_path / name).glob("*.h5")
        with h5py.File(path) as file:
            images[name] = file["reconstruction"][:]
    np.testing.assert_array_equal(images["wide"], images["own"])
    difference = np.abs(images["narrow"] - images["own"]).max()
    assert 0 < difference < 0.05 * images["own"].max()
    refused = call("reconstruct", finished, tmp_path / "in", "--out", tmp_path / "tv", "--model",
                   "tv", "--precision", "bfloat16", "--acceleration", 4)  # fmt: skip
    assert refused.code == 2 and "no network" in refused.err
