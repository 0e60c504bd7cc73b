"""One root for all relative paths of data."""

from pathlib import Path

import pytest

from jaxnas.core.config import dump_config, load_config
from jaxnas.core.sections import anchored, placed

TEXT = """
root: ROOT
data: {source: fastmri, path: one}
federated:
  local_steps: 1
  clients:
    - {name: a}
    - {name: b, data: {source: arrays, path: [two, /three]}}
    - {name: c, data: {source: synthetic}}
"""


@pytest.fixture
def load(tmp_path):
    """load(root) gives a config of four paths under it."""

    def read(root):
        path = tmp_path / "some.yaml"
        path.write_text(TEXT.replace("ROOT", root))
        return load_config(path)

    return read


def paths(config):
    own = [client.data and client.data.path for client in config.federated.clients]
    return [config.data.path, *own]


@pytest.mark.parametrize("root", ["data", "/mnt/mri", "../up"])
def test_relative_paths_stand_under_the_root(load, root):
    config = load(root)
    found = placed(config)
    assert paths(found) == [f"{root}/one", None, (f"{root}/two", "/three"), None]
    assert paths(config) == ["one", None, ("two", "/three"), None]
    assert found.model_copy(update={"data": config.data, "federated": None}) == config.model_copy(
        update={"federated": None}
    )


def test_without_a_root_paths_are_as_written(load):
    config = load(".")
    assert placed(config) is config and anchored(config) is config


def test_a_root_in_the_home_folder(load, monkeypatch):
    monkeypatch.setenv("HOME", "/home/she")
    assert paths(placed(load("~/mri")))[0] == "/home/she/mri/one"


def test_a_run_remembers_where_its_root_is(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = anchored(load("data"))
    assert Path(kept.root) == tmp_path / "data" and paths(kept)[0] == "one"
    (tmp_path / "again.yaml").write_text(dump_config(kept))
    assert load_config(tmp_path / "again.yaml") == kept and anchored(kept) == kept
