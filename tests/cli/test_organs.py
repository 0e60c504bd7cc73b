"""Segmentation of other organs than the heart, from a folder of files to a report, as users type
it: at one site and across two clients."""

import json
import re
import shutil

import jax
import nibabel
import numpy as np
import pytest

import jaxnas
from jaxnas.core.config import load_config
from jaxnas.core.errors import UserError
from jaxnas.data.heart import HeartSource
from jaxnas.data.layouts import make_nnunet
from jaxnas.data.named import with_labels
from jaxnas.data.organs import OrganSource
from tests.cli.known_device import write_calibration, write_table

TINY = """
task: segmentation
data:
  source: nifti_folder
  path: FOLDER/bellies
  size: [32, 32]
  spacing: null
  split: {method: kfold, fold: 1}
network: {layers: 2, scales: 2, channels: 4, operations: [skip_connect, conv_3x3], unet_channels: 4}
latency: {table: FOLDER/table.json, stack: 1, calibration: 3, budget_ms: 1000}
search: {objective: accuracy, steps: 2, batch: 2, channels: 4, warmup: 0, check_every: 1}
decode: {methods: [ga], paths: [1], pool: 2, generations: 2}
train: {models: [decoded, unet2d], steps: 2, batch: 2, statistics: 2, validate_every: 0}
evaluate: {calls: 3, seconds: 0}
log_every: 2
checkpoint_every: 2
"""
CLIENTS = """
federated:
  clients:
    - {name: north, patients: ["case_00[1-4]"]}
    - {name: south, patients: ["case_00[5-8]", "case_010"]}
  rounds: 1
  search_rounds: 1
  local_steps: 1
  backend: loop
  methods: [{strategy: fedavg, model: unet2d}, {strategy: fedavg, model: derived}]
"""
# Words of hearts, and the names of their classes as tables print them.
CARDIAC = r"heart|cardi|ventric|diastol|systol|ejection|cavit|cine|\b(ED|ES|RV|LV|MYO|rv|lv|myo)\b"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_node):
    """Ten cases in nnU-Net's layout, and configs that train on them."""
    path = tmp_path_factory.mktemp("organs")
    make_nnunet(path / "bellies", OrganSource(patients=10, slices=3, size=(32, 32)))
    site = TINY.replace("FOLDER", str(path))
    (path / "site.yaml").write_text(site)
    clients = site.replace("  split: {method: kfold, fold: 1}\n", "")
    clients = clients.replace("models: [decoded, unet2d], steps: 2, ", "")
    clients = clients.replace("steps: 2, batch: 2, channels", "batch: 2, channels")
    (path / "clients.yaml").write_text(clients + CLIENTS)
    write_table(path / "table.json", with_labels(load_config(path / "site.yaml")))
    return path


@pytest.fixture(scope="module", params=["site", "clients"])
def finished(request, folder, call):
    """The run directory of all stages, which finds its data gone afterwards."""
    run = folder / f"run_{request.param}"
    write_calibration(run)
    done = call("run", folder / f"{request.param}.yaml", "--workdir", run, "--quiet")
    assert done.code == 0, done.err
    return run


@pytest.fixture
def options(finished):
    """The options that choose a network of the run."""
    return ("--strategy", "fedavg", "--client", "south") if "clients" in finished.name else ()


def read(path):
    return json.loads(path.read_text())


@pytest.mark.slow
def test_rows_have_the_classes_of_the_source(finished):
    metrics = read(finished / "metrics.json")
    federated = "clients" in finished.name
    assert len(metrics["rows"]) == (6 if federated else 2)
    for row in metrics["rows"]:
        assert row["model"] in ("unet2d", "derived", "derived_ga_1")
        assert [*row["dice"]] == [*row["hd95"]] == ["liver", "kidney", "mean"]
        assert [*row["empty"]] == ["liver", "kidney"] and "ejection_fraction" not in row
    assert re.search(r"\d test volumes of \d patient", metrics["data"])
    header = (finished / "volumes.csv").read_text().partition("\n")[0]
    assert header.startswith("model,volume,patient,phase,group,fold,dice_mean,dice_liver,dice_kid")
    assert (
        "labels:\n  - background\n  - liver\n  - kidney\n" in (finished / "config.yaml").read_text()
    )


@pytest.mark.slow
def test_no_word_of_hearts(finished):
    page = (finished / "report.html").read_text()
    text = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)
    assert re.findall(CARDIAC, text) == []
    assert "liver" in text and "kidney" in text and "within the labelled part of a volume" in text
    assert re.findall(CARDIAC, (finished / "metrics.json").read_text()) == []
    places = read(finished / "overlays.json")
    (name,) = places
    assert name.startswith("case_") and {*places[name]["slices"]} <= {"lower", "middle", "upper"}
    assert (finished / "figures" / "overlays.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_run_is_applied_without_its_data(finished, folder, options, call, tmp_path):
    image = folder / "bellies" / "imagesTr" / "case_003_0000.nii.gz"
    shutil.copytree(folder / "bellies", tmp_path / "bellies")
    (folder / "bellies" / "dataset.json").unlink()
    try:
        found = call("segment", finished, image, "--out", tmp_path, "--model", "unet2d", *options)
        assert found.code == 0, found.err
        net = tmp_path / "net.bin"
        done = call("export", finished, "--out", net, "--model", "unet2d", *options)
        assert done.code == 0, done.err
        assert call("report", finished, "--quiet").code == 0
    finally:
        shutil.copy(tmp_path / "bellies" / "dataset.json", folder / "bellies")
    labels = nibabel.load(tmp_path / image.name)
    assert labels.shape == (32, 32, 3) and {*np.unique(labels.dataobj)} <= {0, 1, 2}
    side = read(tmp_path / "net.bin.json")
    assert side["output"].endswith("32, 3), logits of background, liver, kidney")
    function = jax.export.deserialize(bytearray(net.read_bytes()))
    assert function.call(np.zeros((2, 32, 32), np.float32)).shape == (2, 32, 32, 3)


@pytest.mark.slow
def test_other_labels_are_another_run(finished, folder, call):
    description = folder / "bellies" / "dataset.json"
    kept = description.read_text()
    description.write_text(kept.replace("kidney", "spleen"))
    try:
        config = folder / f"{finished.name.removeprefix('run_')}.yaml"
        again = call("evaluate", config, "--workdir", finished, "--quiet")
        assert again.code == 2 and "data.labels was" in again.err and "spleen" in again.err
        again = call("evaluate", finished, "--quiet")
        assert again.code == 2 and "has the labels background, liver, spleen, but" in again.err
    finally:
        description.write_text(kept)


def test_inspect_and_profile_know_the_classes(folder, call):
    shown = call("inspect", folder / "site.yaml", "--json", "--set", "train.models=[unet2d]")
    assert shown.code == 0, shown.err
    (own,) = [row for row in json.loads(shown.out)["networks"] if row["model"] == "unet2d"]
    hearts = "data={source: heart, size: [32, 32]}"
    shown = call("inspect", folder / "site.yaml", "--json", "--set", hearts)
    assert shown.code == 0, shown.err
    derived = {row["model"]: row["params"] for row in json.loads(shown.out)["networks"]}
    assert own["params"] == derived["unet2d"] - 5  # four channels and a bias fewer
    refused = call("inspect", folder / "site.yaml", "--set", "data.path=nowhere")
    assert refused.code == 2 and "nowhere: no such folder; expected a folder with" in refused.err


@pytest.mark.slow
def test_a_source_in_memory_names_its_labels(tmp_path):
    asked = {
        "task": "segmentation",
        "data": {"size": [32, 32], "spacing": None},
        "network": {"layers": 2, "scales": 2, "unet_channels": 2},
        "train": {"models": ["unet2d"], "steps": 1, "batch": 2, "statistics": 1},
    }
    data = OrganSource(patients=5, slices=2, size=(32, 32))
    run = jaxnas.train(asked, data=data, workdir=tmp_path)
    assert run.config.data.labels == data.labels
    found = jaxnas.load(run)(data.read(0).image)
    assert found.shape == (2, 32, 32) and found.max() <= 2
    with pytest.raises(UserError, match=r"data\.labels: found background, liver, kidney, but"):
        jaxnas.train(run, data=HeartSource(patients=5, slices=2, size=32))
    with pytest.raises(UserError, match=r"data\.labels: the source 'memory' names no labels"):
        jaxnas.train(asked | {"data": {"source": "memory"}}, workdir=tmp_path / "other")
