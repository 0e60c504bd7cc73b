"""Which keys may change while a run goes on, and which make another run of it."""

import pytest

from jaxnas.core.config import load_config
from jaxnas.core.identity import differences, fingerprint

RECONSTRUCTION = """
genotype: a.json
latency: {table: a.json}
data: {source: fastmri, path: here}
federated:
  local_steps: 1
  clients:
    - {name: one}
    - {name: two, data: {source: arrays, path: [a.npy, b.npy]}}
"""
SEGMENTATION = """
task: segmentation
genotype: a.json
genotypes: {one: a.json, two: b.json}
latency: {table: a.json}
data: {source: acdc, path: here}
federated:
  local_steps: 1
  clients:
    - {name: one}
    - {name: two, data: {source: sunnybrook, path: there}}
"""
CONFIGS = {"reconstruction": RECONSTRUCTION, "segmentation": SEGMENTATION}
MACHINE = [("federated.devices", "2"), ("federated.backend", "loop"), ("federated.chunk", "3")]
PLACES = [
    ("root", "/mnt"),
    ("data.path", "elsewhere"),
    ("genotype", "b.json"),
    ("latency.table", "b.json"),
]
MOVED = {
    "reconstruction": ("{source: arrays, path: [/c/a.npy, /c/b.npy]}", "{source: arrays, path: c}"),
    "segmentation": ("{source: sunnybrook, path: /c}", "{source: sunnybrook, path: d/e}"),
}


@pytest.fixture(params=CONFIGS)
def load(request, tmp_path):
    """load(*overrides) gives a config of a task with clients; `load.task` is the task."""
    path = tmp_path / "some.yaml"
    path.write_text(CONFIGS[request.param])

    def read(*overrides):
        return load_config(path, overrides=overrides)

    read.task = request.param
    return read


@pytest.mark.parametrize(("key", "value"), MACHINE)
def test_how_a_run_is_computed_does_not_make_it_another(load, key, value):
    before, now = load(), load(f"{key}={value}")
    assert before != now
    assert differences(before, now) == [] and fingerprint(before) == fingerprint(now)


@pytest.mark.parametrize(("key", "value"), PLACES)
def test_files_may_move_but_name_another_directory(load, key, value):
    before, now = load(), load(f"{key}={value}")
    assert differences(before, now) == [] and fingerprint(before) != fingerprint(now)


@pytest.mark.parametrize("key", ["genotype", "latency.table"])
def test_a_file_that_is_left_out_is_another_run(load, key):
    (found,) = differences(load(), load(f"{key}=null"))
    assert found == (key, "a.json", None)


def test_the_files_of_a_client_may_move(load):
    first, second = (
        load(f"federated.clients=[{{name: one}}, {{name: two, data: {data}}}]")
        for data in MOVED[load.task]
    )
    assert differences(first, second) == [] and fingerprint(first) != fingerprint(second)


def test_named_genotypes_may_move_but_not_change_their_names(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text(SEGMENTATION)
    before = load_config(path)
    assert differences(before, load_config(path, overrides=["genotypes.one=c.json"])) == []
    (found,) = differences(before, load_config(path, overrides=["genotypes.three=c.json"]))
    assert found.key == "genotypes" and "three" in found.now


@pytest.mark.parametrize(
    ("override", "key", "before", "now"),
    [
        ("seed=1", "seed", 0, 1),
        ("network.dtype=bfloat16", "network.dtype", "float32", "bfloat16"),
        ("search.alphas.rate=0.5", "search.alphas.rate", 3e-3, 0.5),
        ("federated.rounds=3", "federated.rounds", 150, 3),
        ("log_every=3", "log_every", 10, 3),
        ("federated.clients=[{name: one}, {name: 'no'}]", "federated.clients[1].name", "two", "no"),
    ],
)
def test_every_other_key_is_another_run_and_is_named(load, override, key, before, now):
    old, new = load(), load(override)
    found = differences(old, new)
    assert fingerprint(old) != fingerprint(new)
    assert (key, before, now) in found
    assert differences(old, load()) == []


def test_a_difference_can_be_read(load):
    (found,) = differences(load(), load("train.models=[unet]"))
    assert str(found).startswith('train.models was ["de') and str(found).endswith('now ["unet"]')
