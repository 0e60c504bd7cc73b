"""Configs and overrides that nobody means: one sentence each, with its place, never a traceback."""

import re

import pytest

from jaxnas.core.config import load_config
from jaxnas.core.errors import UserError

CLIENTS = "federated: {local_steps: 1, clients: [{name: a}, {name: b}]}\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def refused(path, *overrides):
    """The sentence that loading ends in."""
    with pytest.raises(UserError) as caught:
        load_config(path, overrides=overrides)
    (line,) = str(caught.value).split("\n")
    assert len(line) < 500
    return line


@pytest.fixture
def some(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text(CLIENTS)
    return path


# What YAML 1.1 makes of words that mean something else to it.
WORDS = [
    ("010", "8"),
    ("no", "False"),
    ("Yes", "True"),
    ("off", "False"),
    ("1e3", "1000.0"),
    ("0x1F", "31"),
    ("1_0", "10"),
    ("12:30", "750"),
    ("2024-01-01", "the date 2024-01-01"),
    ("~", "None"),
    ("null", "None"),
    (".inf", "inf"),
]


@pytest.mark.parametrize(("word", "found"), WORDS)
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("federated: {{local_steps: 1, clients: [{{name: {}}}]}}", "federated.clients[0].name"),
        ("data: {{split: {{train: [a, {}], test: [b]}}}}", "data.split.train[1]"),
        ("train: {{models: [{}]}}", "train.models[0]"),
        ("task: segmentation\ngenotypes: {{one: {}}}", "genotypes"),
    ],
)
def test_a_word_that_is_no_text_is_shown_as_written(text, key, word, found, tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text(text.format(word))
    line = refused(path)
    assert line.startswith(f"{path}:") and f": {key}" in line
    assert f'found {found}, written {word}; quote it: "{word}"' in line
    path.write_text(text.format(f'"{word}"'))
    if "clients" in key and not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_.-]*", word):
        assert "String should match pattern" in refused(path)
    else:
        load_config(path)


@pytest.mark.parametrize(("word", "found"), WORDS[:10])
def test_an_override_that_is_no_text_is_quoted_for_the_shell(word, found, some):
    if found == "None":
        assert load_config(some, overrides=[f"name={word}"]).name == "some"
        return
    line = refused(some, f"name={word}")
    assert line.startswith(f"--set name={word}: name: ")
    assert f"found {found}, written {word}; quote it, for the shell as well: '\"{word}\"'" in line
    assert load_config(some, overrides=[f'name="{word}"']).name == word


@pytest.mark.parametrize("word", ["nan", "inf", "Infinity", "2024-13-45", "1.2.3", "e3"])
def test_what_is_a_word_stays_one(word, some):
    assert load_config(some, overrides=[f"name={word}"]).name == word


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("federated.clients.0.name=x", "federated.clients is a list; give the whole list, as"),
        ("federated.clients={a: 1}", "Input should be a list"),
        ("federated.clients=[5]", "federated.clients[0]: Input should be a section of keys: name"),
        ("federated.clients=[{nam: x, name: y}]", "[0].nam: unknown key; did you mean 'name'?"),
        ("federated.clients=[{}]", "federated.clients[0].name: missing"),
        ("federated.methods=[{strategy: fedx}]", "federated.methods[0]: Input tag 'fedx'"),
        ("federated.methods=[{strategy: fedprox, muu: 1}]", "[0].muu: unknown key; did you mean"),
        ("federated.methods=[{strategy: fedprox, mu: x}]", "federated.methods[0].mu: Input"),
        (
            "federated.methods=[{strategy: fedavgm, beta: 1}]",
            "[0].beta: unknown key; known keys: model, name, strategy, momentum, server_rate",
        ),
        (
            "federated.search_strategy={strategy: fedprox, model: derived}",
            "federated.search_strategy.model: unknown key; known keys: strategy, mu",
        ),
        (
            "federated.methods=[{strategy: fedx}]",
            "'non_fed', 'fedavg', 'fedprox', 'fedmri', 'fedautomri', 'fedavgm', 'fedadam', "
            "'scaffold'",
        ),
        ("federated.methods=[5]", "federated.methods[0]: Input should be a section of keys"),
        ("federated=5", "federated: Input should be a section of keys: clients"),
        ("data=5", "data: Input should be a section of keys: source, path"),
        ("data.path=5", "data.path: Input should be a valid string (found 5; quote it"),
        ("data.path={a: b}", "data.path: Input should be a valid string (found {'a': 'b'})"),
        ("data.path=[a, 2]", "data.path[1]: Input should be a valid string (found 2; quote it"),
        ("train.models=dccnn", "Input should be a list, such as [a, b] (found 'dccnn')"),
        ("train.models.0=dccnn", "Input should be a list, such as [a, b]"),
        ("network.dtype=no", "found False, written no"),
        ("task=[a]", "task: expected reconstruction or segmentation, found ['a']"),
        (".=1", "expected KEY=VALUE"),
        ("a..b=1", "expected KEY=VALUE"),
        (".a=1", "expected KEY=VALUE"),
        ("", "expected KEY=VALUE"),
        ("seed=", "seed: Input should be a valid integer (found None)"),
        ("seed=1e400", "finite number (found inf, written 1e400)"),
        ("seed=.nan", "finite number (found nan, written .nan)"),
        ("train.steps=" + "9" * 30, "less than 2147483648"),
        ("train.steps=" + "9" * 5000, "train.steps: Unable to parse input string as an integer"),
        ("train.steps=0x" + "f" * 9000, "train.steps: Input should be a valid integer"),
        ("search.weights.rate=1e400", "finite number (found inf, written 1e400)"),
        ("seed=*a", "not valid YAML (found undefined alias 'a')"),
        ("seed=\x00", "not valid YAML (special characters"),
        ("seed=!!python/name:os.x", "not valid YAML (could not determine a constructor"),
        ("seed=" + "[" * 2000, "nested too deeply"),
        ("name=" + "x" * 10 + ": y", "name: Input should be a valid string"),
        ("base=other.yaml", "base: unknown key"),
    ],
    ids=lambda text: text[:40],
)
def test_an_odd_override_is_one_sentence(override, message, some):
    line = refused(some, override)
    assert line.startswith(f"--set {override[:60]}") and message in line


def test_an_override_reaches_into_what_was_null(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text("latency: null\n")
    assert load_config(path, overrides=["latency.budget_ms=5"]).latency.budget_ms == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\tb: 1\n", ":2: not valid YAML (found character '\\t'"),
        ("- 1\n", ":1: expected `key: value` lines"),
        ("5\n", ":1: expected `key: value` lines"),
        ("--- {}\n--- {}\n", ":2: not valid YAML (but found another document)"),
        ("? [a, b]\n: c\n", ":1: config: a key must be a plain word"),
        ("1: 2\n", ":1: 1: unknown key"),
        ("x: &x [*x]\n", "nested too deeply"),
        ("[" * 5000, "nested too deeply"),
        ("{a: " * 3000, "nested too deeply"),
        (BOMB, "more than 100,000 values; aliases stand for too many"),
        ("<<: 5\n", ":1: config: << must stand for a mapping"),
        ("base: [a]\n", ":1: base: expected the name of a config file, found ['a']"),
        ("base: 5\n", ":1: base: expected the name of a config file, found 5"),
        ("base: nothing.yaml\n", "nothing.yaml: cannot read the config (No such file"),
        ("base: .\n", "cannot read the config (Is a directory)"),
        ("seed: !!python/object/apply:os.getpid []\n", "seed: Input should be a valid integer"),
        ("name: !own x\n", ":1: not valid YAML (could not determine a constructor"),
        ("\x00", "not valid YAML (special characters"),
    ],
    ids=lambda text: text[:30],
)
def test_an_odd_file_is_one_sentence(text, message, tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text(text)
    line = refused(path)
    assert str(tmp_path) in line and message in line


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_first_key(encoding, tmp_path):
    path = tmp_path / "some.yaml"
    path.write_bytes("seed: 3\r\nname: é\r\n".encode(encoding))
    config = load_config(path)
    assert (config.seed, config.name) == (3, "é")


BINARY = [b"\x89PNG\r\n\x1a\n\0", "seed: 1".encode("utf-16")[:-1], b"\xe9"]


@pytest.mark.parametrize("content", BINARY)
def test_a_file_that_is_no_text_is_named(content, tmp_path):
    path = tmp_path / "some.yaml"
    path.write_bytes(content)
    assert refused(path).startswith(f"{path}: not a text file")


def test_a_folder_is_no_config(tmp_path):
    assert refused(tmp_path) == f"{tmp_path}: cannot read the config (Is a directory)"


def test_anchors_and_merge_keys_are_read(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text(
        "search:\n"
        "  weights: &w {rate: 1e-2, clip: 2}\n"
        "  alphas: {<<: *w, clip: 1}\n"
        "train: {optimizer: {rate: 4, <<: [{rate: 2, clip: 3}, {clip: 9, momentum: 0.5}]}}\n"
    )
    config = load_config(path)
    assert (config.search.alphas.rate, config.search.alphas.clip) == (0.01, 1)
    optimizer = config.train.optimizer
    assert (optimizer.rate, optimizer.clip, optimizer.momentum) == (4, 3, 0.5)
    path.write_text("search:\n  weights: &w\n    rate: x\n  alphas: {<<: *w, clip: 1}\n")
    with pytest.raises(UserError, match=r"some.yaml:3: search.alphas.rate"):
        load_config(path)


def test_what_an_override_or_a_file_replaces_is_no_place_any_more(some, tmp_path):
    assert refused(some, "federated.clients=[{}]").startswith("--set federated.clients=[{}]: ")
    leaf = tmp_path / "leaf.yaml"
    leaf.write_text("base: some.yaml\nfederated:\n  clients:\n    - {}\n")
    assert refused(leaf).startswith(f"{leaf}:4: federated.clients[0].name: missing")
