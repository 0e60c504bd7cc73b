"""Configs: every error at once with its place, overrides, base files, round trips."""

import pytest

from jaxnas.core.config import dump_config, load_config
from jaxnas.core.errors import UserError
from jaxnas.core.identity import fingerprint
from jaxnas.reconstruction.section import ReconstructionConfig


@pytest.fixture
def write(tmp_path):
    """write(text, name) puts a config file on disk and returns its path."""

    def write(text, name="some.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def errors_of(path, **options):
    """The lines of the UserError that loading raises."""
    with pytest.raises(UserError) as caught:
        load_config(path, **options)
    return str(caught.value).split("\n")


def test_an_empty_file_is_all_defaults(write):
    config = load_config(write("# nothing\n"))
    assert config == ReconstructionConfig(name="some")


def test_values_arrive_typed(write):
    config = load_config(
        write("seed: 3\nnetwork:\n  nodes: 4\nsearch:\n  weights: {rate: 1e-3}\n  rows: 48\n")
    )
    assert (config.seed, config.network.nodes) == (3, 4)
    assert config.search.weights.rate == 0.001  # YAML 1.1 alone would read a string
    assert config.search.rows == 48


def test_every_error_is_reported_with_file_line_and_key(write):
    path = write(
        "seed: -1\n"
        "network:\n"
        "  nodes: four\n"
        "  chanels: 8\n"
        "acquisition:\n"
        "  accelerations:\n"
        "    - 4\n"
        "    - 0.5\n"
        "data: {source: fastmri}\n"
        "zebra: 1\n"
    )
    lines = errors_of(path)
    assert len(lines) == 6
    expected = [
        ":1: seed: ",
        ":3: network.nodes: ",
        ":4: network.chanels: unknown key; did you mean 'channels'?",
        ":8: acquisition.accelerations[1]: ",
        ":9: data: path is required for source 'fastmri'",
        ":10: zebra: unknown key; known keys: task, name, seed, stages",
    ]
    for wanted in expected:
        assert any(line.startswith(f"{path}{wanted}") for line in lines), (wanted, lines)
    assert any("(found 'four')" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "network:\n  nodes: 2\n  nodes: 3\n",
            ":3: network.nodes: written twice (first on line 2)",
        ),
        ("seed: 1\nname: a\nseed: 1\n", ":3: seed: written twice (first on line 1)"),
        ("seed: [1\n", "not valid YAML"),
        ("- 1\n", ":1: expected `key: value` lines"),
        ("network:\n", ":1: network: "),
        ("stages: [train, search]\n", "stages must follow the order search, derive, select, train"),
        ("train: {steps: 3, epochs: 2}\n", ":1: train: give either steps or epochs"),
        ("network: {learn_lam: true}\n", "learn_lam needs a finite starting value in lam"),
        ("acquisition: {accelerations: [4]}\n", "1 accelerations and 2 center_fractions"),
        ("search: {weights: {rate: .inf}}\n", ":1: search.weights.rate: "),
        ("search: {weights: {rate: nan}}\n", ":1: search.weights.rate: "),
        ("train: {optimizer: {betas: [0.9, 1.0]}}\n", ":1: train.optimizer.betas[1]: "),
        ("data: {split: {valid_fraction: 0.5, test_fraction: 0.6}}\n", "leave nothing to train on"),
        ("data: {split: {train: ['a*']}}\n", "train and test patterns must be given together"),
    ],
)
def test_a_bad_file_says_where_and_what(write, text, message):
    path = write(text)
    (line,) = errors_of(path)
    assert line.startswith(str(path)) and message in line


def test_a_missing_or_binary_file_is_named(tmp_path):
    (line,) = errors_of(tmp_path / "absent.yaml")
    assert "absent.yaml: cannot read the config (No such file" in line
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (line,) = errors_of(tmp_path / "binary.yaml")
    assert "binary.yaml: not a text file" in line


def test_overrides_are_typed_and_later_ones_win(write):
    path = write("network: {nodes: 2}\n")
    overrides = ["network.nodes=3", "network.nodes=4", "train.steps=7", "data.crop=[32, 32]"]
    config = load_config(path, overrides=[*overrides, "network.lam=1e-2", "data.path=null"])
    assert config.network.nodes == 4 and config.train.steps == 7
    assert config.data.crop == (32, 32)
    assert config.network.lam == 0.01 and config.data.path is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("network.nodes=x", "--set network.nodes=x: network.nodes: "),
        ("network.node=3", "--set network.node=3: network.node: unknown key; did you mean 'nodes'"),
        ("network.nodes", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("seed.more=3", "--set seed.more=3: seed is a value, not a section"),
        ("network=[", "--set network=[: not valid YAML"),
    ],
)
def test_a_bad_override_is_quoted(write, override, message):
    (line,) = errors_of(write("seed: 1\n"), overrides=[override])
    assert message in line


def test_base_files_merge_key_by_key(write):
    write("seed: 1\nnetwork: {nodes: 2, channels: 8}\n", "root.yaml")
    write("base: root.yaml\nnetwork:\n  nodes: 3\n", "middle.yaml")
    config = load_config(write("base: middle.yaml\nseed: 5\n", "leaf.yaml"))
    assert (config.name, config.seed) == ("leaf", 5)
    assert (config.network.nodes, config.network.channels) == (3, 8)


def test_errors_in_a_base_file_name_the_base_file(write):
    write("\nseed: x\n", "root.yaml")
    (line,) = errors_of(write("base: root.yaml\n", "leaf.yaml"))
    assert "root.yaml:2: seed" in line
    (line,) = errors_of(write("base: absent.yaml\n"))
    assert "absent.yaml: cannot read" in line


def test_circular_base_files_are_refused(write):
    write("base: b.yaml\n", "a.yaml")
    (line,) = errors_of(write("base: a.yaml\n", "b.yaml"))
    assert "circle" in line


def test_named_files_are_a_mapping_in_the_file_and_hashable(write):
    path = write("task: segmentation\ngenotypes: {ms_nas: a.json}\n")
    config = load_config(path, overrides=["genotypes.hw_nas=b.json"])
    assert dict(config.genotypes) == {"ms_nas": "a.json", "hw_nas": "b.json"}
    again = load_config(write(dump_config(config), "again.yaml"))
    assert again == config and hash(again) == hash(config)
    (line,) = errors_of(write("task: segmentation\ngenotypes: {a/b: c.json}\n"))
    assert "some.yaml:2: genotypes" in line


def test_round_trip_and_fingerprint(write):
    path = write("network: {lam: 1e-5}\ndata: {crop: [8, 8]}\nevaluate: {classical: []}\n")
    config = load_config(path)
    again = load_config(write(dump_config(config), "again.yaml"))
    assert again == config and hash(again) == hash(config)
    assert fingerprint(again) == fingerprint(config)
    assert len(fingerprint(config)) == 10
    changed = load_config(path, overrides=["search.alphas.rate=0.1"])
    assert fingerprint(changed) != fingerprint(config)


def test_a_config_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        ReconstructionConfig().seed = 3
