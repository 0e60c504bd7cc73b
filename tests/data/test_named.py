"""The labels of a config: from its sources, the same for all clients, kept without the data."""

import pytest

from jaxnas.core.config import dump_config, load_config
from jaxnas.core.errors import UserError
from jaxnas.core.identity import differences, fingerprint
from jaxnas.data.annotation import HEART_LABELS
from jaxnas.data.layouts import make_nnunet
from jaxnas.data.named import config_labels, with_labels
from jaxnas.data.organs import OrganSource

NAMES = ("background", "liver", "kidney")


@pytest.fixture
def written(tmp_path):
    """Writes a config of segmentation and loads it."""

    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(f"task: segmentation\n{text}\n")
        return load_config(path)

    return write


@pytest.fixture
def bellies(tmp_path):
    make_nnunet(tmp_path / "bellies", OrganSource(patients=1, slices=1, size=(16, 16)))
    return tmp_path / "bellies"


def test_hearts_are_always_the_same(written):
    config = written("data: {source: acdc, path: nowhere}")
    assert with_labels(config) == config and config_labels(config) == HEART_LABELS
    assert "labels" not in dump_config(config) and "heart" in dump_config(config)
    given = written("data: {source: acdc, path: nowhere, labels: [background, a]}")
    with pytest.raises(UserError, match=r"data\.labels: found background, a, but the labels of"):
        config_labels(given)


def test_a_run_remembers_the_labels(written, bellies, tmp_path):
    config = written(f"root: {bellies.parent}\ndata: {{source: nifti_folder, path: bellies}}")
    found = with_labels(config)
    assert found.data.labels == NAMES and found.data.path == "bellies"
    assert config_labels(config) == config_labels(found) == NAMES
    (bellies / "dataset.json").unlink()
    kept = tmp_path / "kept.yaml"
    kept.write_text(dump_config(found))
    assert load_config(kept) == found and config_labels(load_config(kept)) == NAMES
    assert with_labels(found) == found
    assert "heart" not in kept.read_text() and "phases" not in kept.read_text()
    (change,) = differences(config, found)
    assert change.key == "data.labels" and fingerprint(config) != fingerprint(found)
    with pytest.raises(UserError, match=r"dataset\.json: no such file"):
        with_labels(config)


@pytest.mark.parametrize("labels", ["[background]", "[background, '']", "liver"])
def test_labels_that_cannot_be(written, labels):
    with pytest.raises(UserError, match=r"config\.yaml:2.*labels"):
        written(f"data: {{source: nifti_folder, path: x, labels: {labels}}}")


CLIENTS = """
federated:
  rounds: 1
  local_steps: 1
  clients:
    - {{name: a, data: {{source: nifti_folder, path: {path}}}}}
    - {{name: b, data: {{source: {source}, path: x, labels: {labels}}}}}
"""


def test_all_clients_have_the_same_labels(written, bellies):
    """Data of the config that no client reads do not count."""
    text = CLIENTS.format(path=bellies, source="nifti_folder", labels="[background, liver, kidney]")
    found = with_labels(written(text))
    assert config_labels(found) == NAMES
    assert found.federated.clients[0].data.labels == NAMES
    text = CLIENTS.format(path=bellies, source="nifti_folder", labels="[background, kidney, liver]")
    with pytest.raises(
        UserError, match="client 'a' has the labels background, liver, kidney, client 'b' backg"
    ):
        config_labels(with_labels(written(text)))
    text = CLIENTS.format(path=bellies, source="acdc", labels="null")
    with pytest.raises(UserError, match="client 'b' background, rv, myo, lv; expected the same"):
        config_labels(with_labels(written(text)))
    text = CLIENTS.format(path="missing", source="acdc", labels="null")
    with pytest.raises(UserError, match="client 'a': missing: no such folder"):
        with_labels(written(text))
