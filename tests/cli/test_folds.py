"""Cross-validation: a network per fold, tested on the patients that it has not seen."""

import csv
import json

import numpy as np
import pytest

from tests.cli.alone import run_alone

TINY = """
task: segmentation
stages: [train, evaluate, report]
data: {{source: acdc, path: {path}, size: [32, 32], spacing: null, split: {{method: modulo}}}}
network: {{layers: 2, scales: 2, channels: 4, unet_channels: 4}}
latency: {{stack: 2, budget_ms: 1000}}
train: {{models: [unet2d], steps: 3, batch: 2, statistics: 1, folds: [0, 2, 1]}}
evaluate: {{calls: 2, seconds: 0}}
log_every: 1
"""


@pytest.fixture(scope="module")
def patients(call, tmp_path_factory):
    """Five patients on disk: one in every fold."""
    folder = tmp_path_factory.mktemp("acdc")
    made = call("data", "make", "--layout", "acdc", "--volumes", 5, "--slices", 2, "--size", 32, 32,
                "--out", folder)  # fmt: skip
    assert made.code == 0, made.err
    return folder


@pytest.fixture(scope="module")
def finished(patients, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    config = folder / "folds.yaml"
    config.write_text(TINY.format(path=patients))
    run_alone(config, folder / "run")
    return folder / "run"


@pytest.mark.slow
def test_every_patient_is_scored_by_the_network_that_did_not_see_it(finished):
    with (finished / "volumes.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {(line["fold"], line["patient"]) for line in lines} == {
        ("0", "patient005"),
        ("1", "patient001"),
        ("2", "patient002"),
    }
    (row,) = json.loads((finished / "metrics.json").read_text())["rows"]
    assert row["n"] == len(lines) and row["patients"] == 3
    assert row["folds"]["numbers"] == [0, 1, 2]
    for name in ("rv", "myo", "lv", "mean"):
        by_fold = [
            np.mean([float(x[f"dice_{name}"]) for x in lines if x["fold"] == fold])
            for fold in ("0", "1", "2")
        ]
        found = row["folds"]["dice"][name]
        np.testing.assert_allclose(found["values"], by_fold, rtol=1e-5)
        assert found["mean"] == pytest.approx(np.mean(by_fold), rel=1e-5)
        assert found["std"] == pytest.approx(np.std(by_fold), rel=1e-4, abs=1e-6)
        assert found["n"] == 3


@pytest.mark.slow
def test_folds_train_apart_and_compile_once(finished):
    timings = json.loads((finished / "timings.json").read_text())
    first, *others = (timings[f"train unet2d/fold{fold}"] for fold in (0, 2, 1))
    assert first["compile_s"] > 0 and not any(other["compile_s"] for other in others)
    lines = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    losses = {
        fold: [x["loss"] for x in lines if x["model"] == f"unet2d/fold{fold}"] for fold in range(3)
    }
    assert all(len(found) == 3 for found in losses.values())
    assert losses[0] != losses[1] != losses[2]
    assert "Cross-validation, 3 folds" in (finished / "report.html").read_text()


@pytest.mark.slow
def test_a_fold_must_be_named_to_be_applied(finished, patients, call, tmp_path):
    cine = patients / "patient003" / "patient003_4d.nii.gz"
    result = call("segment", finished, cine, "--out", tmp_path)
    assert result.code == 2 and "--fold: expected one of 0, 2, 1, found None" in result.err
    result = call("segment", finished, cine, "--out", tmp_path, "--fold", 2)
    assert result.code == 0 and (tmp_path / cine.name).exists(), result.err
    result = call("export", finished, "--out", tmp_path / "net.bin", "--fold", 2)
    assert result.code == 0, result.err
    side = json.loads((tmp_path / "net.bin.json").read_text())
    assert (side["model"], side["fold"]) == ("unet2d", 2)


def test_a_fold_without_patients_is_refused(patients, call, tmp_path):
    (tmp_path / "few").mkdir()
    for name in ("patient001", "patient002"):
        (tmp_path / "few" / name).symlink_to(patients / name)
    config = tmp_path / "folds.yaml"
    config.write_text(TINY.format(path=tmp_path / "few"))
    result = call("run", config, "--workdir", tmp_path / "run")
    assert result.code == 2 and "fold 0 of scheme 'modulo' has 2 patients to train" in result.err
    assert not (tmp_path / "run").exists()
