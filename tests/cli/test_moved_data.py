"""Data may move while a run is interrupted; the run goes on with the same data only."""

import shutil

import pytest
import yaml

from jaxnas.core.errors import UserError
from jaxnas.engine.run import open_run
from jaxnas.engine.rundir import RunDir
from jaxnas.stages.run import run_stages

RECONSTRUCTION = """
data: {source: fastmri, path: PATH, split: {valid_fraction: 0.2, test_fraction: 0.2}}
stages: [train, evaluate, report]
train: {models: [dccnn]}
"""
SEGMENTATION = """
task: segmentation
data: {source: acdc, path: PATH, size: [32, 32], split: {valid_fraction: 0.2}}
network: {scales: 2, layers: 2}
stages: [train, evaluate, report]
train: {models: [unet2d]}
"""
CLIENTS = """
federated:
  partition: {method: even, clients: 2}
  local_steps: 1
  methods: [{strategy: fedavg, model: MODEL}]
"""
SETTINGS = {
    "reconstruction": RECONSTRUCTION,
    "segmentation": SEGMENTATION,
    "folds": SEGMENTATION.replace("split: {", "split: {method: nnunet, ").replace(
        "unet2d]", "unet2d], folds: [0, 1]"
    ),
    "reconstruction, clients": RECONSTRUCTION + CLIENTS.replace("MODEL", "dccnn"),
    "segmentation, clients": SEGMENTATION + CLIENTS.replace("MODEL", "unet2d"),
}


def begin(config, folder, *overrides):
    """Everything but the stages of a run: looks at its inputs and claims its directory."""
    run = open_run(config, overrides=overrides, workdir=folder, quiet=True)
    run_stages(run, (), fresh=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory, call):
    """Folders of ten volumes or patients in a public layout each, by its name."""
    folders = {layout: tmp_path_factory.mktemp("data") / layout for layout in ("fastmri", "acdc")}
    for layout, folder in folders.items():
        arguments = ("--layout", layout, "--volumes", 10, "--slices", 2, "--size", 32, 32)
        assert call("data", "make", "--out", folder, *arguments).code == 0
    return folders


@pytest.fixture(params=SETTINGS)
def begun(request, made, tmp_path):
    """(config, run directory, data) of a run that has begun."""
    (layout,) = (layout for layout in made if layout in SETTINGS[request.param])
    data = tmp_path / "data"
    shutil.copytree(made[layout], data)
    config = tmp_path / "some.yaml"
    config.write_text(SETTINGS[request.param].replace("PATH", str(data)))
    begin(config, tmp_path / "run")
    return config, tmp_path / "run", data


def members(data):
    """The volumes or patients in a folder, by name."""
    found = sorted(path for path in data.rglob("*") if path.suffix == ".h5")
    return found or sorted(path for path in data.rglob("patient*") if path.is_dir())


def test_a_run_goes_on_where_its_data_moved_to(begun):
    config, folder, data = begun
    before = RunDir(folder).inputs.path.read_text()
    moved = data.rename(data.with_name("elsewhere"))
    begin(config, folder, f"data.path={moved}")
    assert RunDir(folder).inputs.path.read_text() == before
    recorded = yaml.safe_load(RunDir(folder).config.read())
    assert recorded["data"]["path"] == str(moved)


@pytest.mark.parametrize("task", ["reconstruction", "segmentation"])
def test_one_root_moves_the_data_of_every_client(task, made, tmp_path, monkeypatch, capfd):
    """From a relative root to another, from any directory; a path of data alone moves some."""
    layout, model = ("fastmri", "dccnn") if task == "reconstruction" else ("acdc", "unet2d")
    for name in ("one", "two"):
        shutil.copytree(made[layout], tmp_path / "old" / name)
    size = "" if task == "reconstruction" else ", size: [32, 32]"
    data = f"source: {layout}, split: {{test_fraction: 0.2, valid_fraction: 0}}{size}"
    config = tmp_path / "some.yaml"
    config.write_text(
        f"task: {task}\nroot: old\nstages: [train, evaluate, report]\n"
        f"data: {{path: one, {data}}}\nnetwork: {{}}\n"
        f"federated: {{local_steps: 1, methods: [{{strategy: fedavg, model: {model}}}],\n"
        f"  clients: [{{name: a}}, {{name: b, data: {{path: two, {data}}}}}]}}\n"
    )
    folder = tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    begin(config, folder)
    assert yaml.safe_load(RunDir(folder).config.read())["root"] == str(tmp_path / "old")
    monkeypatch.chdir(tmp_path.parent)
    begin(folder, None)
    new = (tmp_path / "old").rename(tmp_path / "new")
    begin(folder, None, f"root={new}")
    assert "warning" not in capfd.readouterr().err
    begin(folder, None, f"data.path={new / 'one'}")
    (line,) = (line for line in capfd.readouterr().err.splitlines() if "warning" in line)
    assert "does not move b, whose data have paths of their own; --set root=FOLDER" in line


def test_a_run_does_not_go_on_with_a_member_less_or_more(begun):
    config, folder, data = begun
    kept = RunDir(folder).inputs.path, RunDir(folder).config.path
    before = {file: file.read_text() for file in kept}
    lost = members(data)[3]
    away = lost.rename(data.parent / lost.name)
    with pytest.raises(UserError, match=r"inputs\.json: this run was begun on other") as e:
        begin(config, folder)
    assert "another --workdir (--fresh starts over and deletes" in str(e.value)
    assert {file: file.read_text() for file in kept} == before
    away.rename(lost)
    begin(config, folder)
    if lost.is_dir():
        more = lost.with_name("patient011")
        more.mkdir()
        for file in lost.iterdir():
            shutil.copy(file, more / file.name.replace(lost.name, more.name))
    else:
        shutil.copy(lost, lost.with_name("another.h5"))
    with pytest.raises(UserError, match="this run was begun on other inputs"):
        begin(config, folder)


def test_a_run_does_not_go_on_with_another_split(begun):
    """What the record says decides, whatever made the split another one."""
    config, folder, _ = begun
    record = RunDir(folder).inputs.read()
    site, groups = next(iter(record["data"].items()))
    name = groups["train"][0][0]
    groups["test"].append(groups["train"].pop(0))
    RunDir(folder).inputs.write(record)
    with pytest.raises(UserError, match=rf"'{name}' was in test with \d slices .* is in train"):
        begin(config, folder)
    del record["data"][site]
    RunDir(folder).inputs.write(record)
    with pytest.raises(UserError, match=f"{site} is new"):
        begin(config, folder)


def test_another_size_is_named(begun):
    config, folder, _ = begun
    record = RunDir(folder).inputs.read()
    first = next(iter(record["data"].values()))["train"][0]
    first[1] += 1
    RunDir(folder).inputs.write(record)
    with pytest.raises(UserError, match=rf"'{first[0]}' was in train with {first[1]} slices of"):
        begin(config, folder)
