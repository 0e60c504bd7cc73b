"""Rules that hold for both tasks, at one site and across clients, as a user types them."""

import json

import pytest

from jaxnas.core.config import load_config
from jaxnas.core.errors import UserError
from jaxnas.engine.groups import log_training, training_cohort
from jaxnas.engine.run import Run
from jaxnas.stages.run import prepare as prepare_run

COMMON = "log_every: 2\ncheckpoint_every: 2\n"
CLIENTS = """
federated:
  partition: {method: even, clients: 2}
  search_rounds: 4
  rounds: 4
  local_steps: 1
  backend: loop
"""
RECONSTRUCTION = """
data:
  synthetic: {volumes: 8, slices: 1, size: [16, 16]}
  split: {valid_fraction: 0.25, test_fraction: 0.25}
acquisition: {accelerations: [2], center_fractions: [0.2]}
network: {channels: 2, cells: 1, nodes: 1, cascades: 1, plan: stack}
search: {steps: 4, check_every: 1}
train: {models: [dccnn], steps: 4, validate_every: 2}
"""
SEGMENTATION = """
task: segmentation
data:
  heart: {patients: 8, slices: 1, frames: 2, size: [16, 16]}
  size: [16, 16]
  spacing: null
  split: {valid_fraction: 0.25, test_fraction: 0.25}
network: {layers: 2, scales: 2, channels: 2, operations: [skip_connect, conv_3x3], unet_channels: 2}
latency: {stack: 1, calibration: 3, budget_ms: 1000}
search: {steps: 4, batch: 2, channels: 4, check_every: 1}
train: {models: [unet2d], steps: 4, batch: 2, statistics: 2, validate_every: 2}
"""
FILES = {
    ("reconstruction", "site"): RECONSTRUCTION + COMMON,
    ("reconstruction", "clients"): RECONSTRUCTION
    + COMMON
    + CLIENTS
    + "  methods: [{strategy: fedavg, model: dccnn}]\n",
    ("segmentation", "site"): SEGMENTATION + COMMON,
    ("segmentation", "clients"): SEGMENTATION
    + COMMON
    + CLIENTS
    + "  methods: [{strategy: fedavg, model: unet2d}]\n",
}
SCORE = {"reconstruction": "valid_psnr", "segmentation": "valid_dice"}


@pytest.fixture(params=FILES, ids="-".join)
def case(request, tmp_path):
    """The config file of a task and setting, and both by name."""
    path = tmp_path / "tiny.yaml"
    path.write_text(FILES[request.param])
    return path, *request.param


def sets(*settings):
    return [part for setting in settings for part in ("--set", setting)]


def prepare(path, *settings, stages=("train",)):
    """The cohort of a run as its stages find it, and the config."""
    config = load_config(path, overrides=settings)
    run = Run(config, path.parent / "run", quiet=True)
    return prepare_run(run, stages, fresh=False), config


@pytest.mark.slow
def test_validation_is_logged_at_its_cadence(case, call, tmp_path):
    path, task, setting = case
    result = call("train", path, "--workdir", tmp_path / "run", "--quiet")
    assert result.code == 0, result.err
    rows = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    scores = {row["step"]: row for row in rows if SCORE[task] in row}
    assert [*scores] == [2, 4]
    names = ["client0", "client1"] if setting == "clients" else []
    for row in scores.values():
        own = [row[f"{SCORE[task]}/{name}"] for name in names]
        assert 0 <= row[SCORE[task]] <= (1 if task == "segmentation" else 100)
        assert not own or row[SCORE[task]] == pytest.approx(sum(own) / len(own))


def test_a_validation_without_volumes_is_refused(case, call, tmp_path):
    path, *_ = case
    result = call(
        "train", path, "--workdir", tmp_path / "run", *sets("data.split.valid_fraction=0")
    )
    assert result.code == 2 and not (tmp_path / "run").exists()
    assert "train.validate_every is 2, but no volume is set aside for validation" in result.err


@pytest.mark.parametrize("every", [0, 1])
def test_volumes_set_aside_train_where_nothing_validates(case, every, tmp_path, capsys):
    path, *_ = case
    cohort, config = prepare(path, f"train.validate_every={every}")
    whole = training_cohort(config, cohort)
    for old, new in zip(cohort.members.values(), whole.members.values()):
        assert old.groups["valid"] and new.groups["test"] == old.groups["test"]
        given = old.groups["valid"] if every == 0 else ()
        assert {*new.groups["train"]} == {*old.groups["train"], *given}
        assert new.count("train") >= len(new.groups["train"])
    assert whole.weights == cohort.weights
    capsys.readouterr()
    log_training(Run(config, tmp_path), cohort)
    given = sum(len(dataset.groups["valid"]) for dataset in cohort.members.values())
    line = f"{given} validation volumes train too: nothing validates\n"
    assert capsys.readouterr().err == (line if every == 0 else "")


@pytest.mark.parametrize(("stage", "key"), [("train", "train.batch"), ("search", "search.batch")])
def test_less_than_a_batch_is_filled_up_and_said(case, stage, key, capsys):
    path, _, setting = case
    prepare(path, f"{key}=50", "search.objective=accuracy", stages=(stage,))
    said = capsys.readouterr().err
    assert f"fewer than {key} 50; they are repeated to fill it" in said
    assert ("client 'client0': " in said) == (setting == "clients")


def test_a_search_without_halves_is_refused(case):
    path, *_ = case
    few = ["data.synthetic.volumes=4"] if "synthetic" in path.read_text() else []
    few = few or ["data.heart.patients=4"]
    with pytest.raises(UserError, match=r"expected at least|volume; a search needs at least 2"):
        prepare(path, *few, "data.split.valid_fraction=0.25", "data.split.test_fraction=0.5",
                "stages=[search]", stages=("search",))  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["search.epochs=1", "search.steps=null", "search.warmup=9"], "search.epochs: 1 are"),
        (["search.weights.warmup=900"], "search.weights.warmup: 900 steps do not fit"),
        (["search.alphas.warmup=900"], "search.alphas.warmup: 900 steps do not fit"),
        (["train.optimizer.warmup=900"], "train.optimizer.warmup: 900 steps do not fit"),
    ],
)
def test_lengths_that_do_not_fit_are_refused_before_anything_runs(case, settings, words):
    path, _, setting = case
    if "search.epochs=1" in settings and setting == "clients":
        words = "search.warmup is 9 and federated.search_rounds is 4"
    with pytest.raises(UserError, match=words):
        prepare(path, *settings, stages=("search", "train"))
