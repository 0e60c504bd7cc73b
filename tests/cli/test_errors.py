"""Bad input: exit code 2, one message that names the place, nothing half-written."""

import fcntl
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest


def test_help_is_instant():
    """The command line imports neither jax nor numpy before a command runs."""
    code = (
        "import sys\nfrom jaxnas.cli import app\n"
        "sys.exit(str({'jax', 'numpy', 'flax', 'h5py'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "" or done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        (["serach.steps=5"], ["--set serach.steps=5", "did you mean 'search'"]),
        (["search.steps=many"], ["search.steps", "integer", "'many'"]),
        (["acquisition.accelerations=[0.5]", "acquisition.center_fractions=[1.5]"],
         ["acquisition.accelerations[0]", "acquisition.center_fractions[0]"]),
        (["acquisition.center_fractions=[0.08]"], ["one centre fraction per acceleration"]),
        (["acquisition.mask=spiral"], ["'magic_fraction', 'random_2d' or 'poisson'", "'spiral'"]),
        (["acquisition.center_fractions=[0.9, 0.9]"], ["takes 29 of 32 columns", "no more than 8"]),
        (["acquisition.mask=poisson", "acquisition.center_fractions=[0.9, 0.9]"],
         ["of 1024 points", "no more than 256"]),
        (["acquisition.noise=-1"], ["acquisition.noise", "greater than or equal to 0"]),
        (["acquisition.noise=.inf"], ["acquisition.noise", "finite"]),
        (["data.crop=[64, 64]"], ["synthetic_0000", "32×32", "64×64"]),
        (["data.source=fastmri"], ["path is required"]),
        (["data.source=fastmri", "data.path=/nowhere"], ["/nowhere: no such file or folder"]),
        (["train.models=[unett]"], ["unknown network 'unett'", "unet"]),
        (["genotype=/nowhere.json"], ["/nowhere.json: no such file"]),
        (["train.epochs=3"], ["either steps or epochs", "steps=8"]),
        (["train.optimizer.rate=-1"], ["train.optimizer.rate", "greater than 0"]),
    ],
)  # fmt: skip
def test_bad_settings(settings, messages, tiny, tmp_path, call):
    overrides = [part for setting in settings for part in ("--set", setting)]
    command = "train" if "genotype" in settings[0] else "run"
    result = call(command, tiny, "--workdir", tmp_path / "run", *overrides)
    assert result.code == 2
    for message in messages:
        assert message in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "run").exists()


def test_a_genotype_and_a_search(tiny, call):
    result = call("run", tiny, "--genotype", "g.json")
    assert result.code == 2 and "searches for one" in result.err


def test_all_errors_of_a_file_at_once(tmp_path, call):
    path = tmp_path / "bad.yaml"
    path.write_text("seed: x\nserach: {}\nnetwork:\n  nodes: 0\n")
    result = call("run", path)
    assert result.code == 2
    for place in (f"{path}:1: seed", f"{path}:2: serach", f"{path}:4: network.nodes"):
        assert place in result.err


def test_train_before_search(tiny, tmp_path, call):
    result = call("train", tiny, "--workdir", tmp_path / "run")
    assert result.code == 2 and "no genotype yet" in result.err


def test_evaluate_before_train(tiny, tmp_path, call):
    result = call("evaluate", tiny, "--workdir", tmp_path / "run", "--set", "train.models=[dccnn]")
    assert result.code == 2 and "'dccnn' is not trained yet" in result.err


def test_genotype_of_another_space(tiny, tmp_path, call):
    path = tmp_path / "g.json"
    node = [["sep_conv_3x3", 0], ["sep_conv_3x3", 1]]
    path.write_text(json.dumps({"space": "csmri_b", "cells": {"normal": [node, node]}}))
    for command in ("inspect", "train"):
        arguments = [] if command == "inspect" else ["--workdir", tmp_path / "run"]
        result = call(command, tiny, "--genotype", path, *arguments)
        assert result.code == 2
        assert str(path) in result.err and "'csmri_b'" in result.err


def test_one_directory_one_config(finished, tiny, call):
    result = call("run", tiny, "--workdir", finished, "--set", "seed=9")
    assert result.code == 2 and "another config (seed was 0, now 9)" in result.err
    assert "use another --workdir (--fresh starts over and deletes what" in result.err
    many = [f"network.{key}=3" for key in ("nodes", "cells", "cascades", "channels")]
    result = call("run", tiny, "--workdir", finished, *(a for m in many for a in ("--set", m)))
    assert "network.channels was 4, now 3; network.cells was 1, now 3" in result.err
    assert "; and 1 more)" in result.err
    assert (finished / "metrics.json").exists()


def test_two_processes_do_not_share_a_run(finished, tiny, call):
    with open(finished / ".lock") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        result = call("report", tiny, "--workdir", finished)
    assert result.code == 2 and "another process" in result.err


def test_fresh_starts_over(tiny, tmp_path, call):
    """With a good config the old results are gone, with a bad one they are not."""
    arguments = ["train", tiny, "--workdir", tmp_path / "run", "--quiet"]
    sets = ["--set", "train.models=[dccnn]", "--set", "train.steps=2"]
    assert call(*arguments, *sets).code == 0
    (tmp_path / "run" / "metrics.json").write_text("old")
    bad = call(*arguments, *sets, "--set", "data.crop=[99, 99]", "--fresh")
    assert bad.code == 2 and (tmp_path / "run" / "metrics.json").exists()
    assert call(*arguments, *sets, "--seed", 1, "--fresh").code == 0
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_fresh_never_deletes_a_stranger(tiny, tmp_path, call):
    (tmp_path / "thesis.tex").write_text("precious")
    result = call("run", tiny, "--workdir", tmp_path, "--fresh")
    assert result.code == 2 and (tmp_path / "thesis.tex").read_text() == "precious"


def test_reconstruct_refuses_before_writing(finished, tmp_path, call):
    call("data", "make", "--out", tmp_path / "in", "--volumes", 1, "--slices", 1, "--size", 32, 32)
    bad = tmp_path / "in" / "z_bad.h5"
    with h5py.File(bad, "w") as file:
        file["kspace"] = np.zeros((1, 32, 32), np.float32)
    out = tmp_path / "out"
    result = call("reconstruct", finished, tmp_path / "in", "--out", out, "--acceleration", 4)
    assert result.code == 2 and str(bad) in result.err and "complex" in result.err
    assert not out.exists()


def test_data_check_names_the_corrupt_file(tmp_path, call):
    call("data", "make", "--out", tmp_path, "--volumes", 3, "--slices", 1, "--size", 32, 32)
    good = call("data", "check", tmp_path)
    assert good.code == 0 and "3 volumes" in good.out
    victim = sorted(tmp_path.glob("*.h5"))[1]
    os.truncate(victim, victim.stat().st_size // 2)
    bad = call("data", "check", tmp_path)
    assert bad.code == 2 and str(victim) in bad.err and "1 problem(s)" in bad.err


def test_a_diverging_run_keeps_the_last_good_state(tiny, tmp_path, call):
    settings = ["train.models=[dccnn]", "train.optimizer.rate=1e30", "train.optimizer.name=sgd"]
    overrides = [part for setting in settings for part in ("--set", setting)]
    result = call("train", tiny, "--workdir", tmp_path / "run", "--quiet", *overrides)
    assert result.code == 3 and "not finite" in result.err and "is kept" in result.err
    assert list((tmp_path / "run" / "checkpoints" / "train-dccnn").iterdir())
