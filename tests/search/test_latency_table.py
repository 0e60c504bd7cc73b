import json

import jax
import pytest

from jaxnas.core.errors import UserError
from jaxnas.engine.timing import summarize
from jaxnas.search.latency_table import (
    LatencyTable,
    check_device,
    device_kind,
    load_table,
    make_entry,
    op_key,
    save_table,
)

KEY = op_key("sep_conv_3x3", size=(64, 48), cin=16, cout=16, batch=1)
SKIP = op_key("skip_connect", size=(64, 48), cin=16, cout=16, batch=1)
TABLE = LatencyTable(
    device="cpu",
    jax="0.10.2",
    precision="default",
    batch=1,
    entries={
        KEY: make_entry(summarize([0.2, 0.3, 0.7]), call=summarize([1.0])),
        SKIP: make_entry(summarize([0.0])),
    },
)


def test_round_trip(tmp_path):
    path = save_table(tmp_path / "lut.json", TABLE)
    assert load_table(path) == TABLE
    value = json.loads(path.read_text())
    assert value["schema"] == 1 and value["unit"] == "ms" and value["device"] == "cpu"
    entry = value["entries"]["sep_conv_3x3 1x64x48x16 -> 16 float32"]
    assert entry["count"] == 3 and entry["p50"] == 0.3 and entry["call"] == 1.0
    assert set(entry) == {"count", "mean", "std", "p50", "p90", "p99", "call"}
    assert value["entries"][SKIP]["call"] is None


def test_keys_differ_in_everything():
    base = {"size": (64, 48), "cin": 16, "cout": 16, "batch": 1, "dtype": "float32"}
    others = [
        {"size": (48, 64)},
        {"cin": 8},
        {"cout": 8},
        {"batch": 10},
        {"dtype": "bfloat16"},
    ]
    keys = [op_key("a", **(base | other)) for other in [{}, *others]] + [op_key("b", **base)]
    assert len(set(keys)) == 7


def test_milliseconds_in_order():
    assert TABLE.milliseconds([SKIP, KEY, SKIP]) == [0.0, 0.3, 0.0]


def test_a_missing_operation_is_named():
    missing = op_key("sep_conv_5x5", size=(64, 48), cin=16, cout=16, batch=1)
    with pytest.raises(UserError) as caught:
        TABLE.milliseconds([KEY, missing, missing.replace("64", "32")], where="lut.json")
    message = str(caught.value)
    assert message.startswith(f"lut.json: lacks the operation {missing} and 1 more")
    assert KEY in message and "jaxnas profile" in message


def test_another_device():
    assert check_device(TABLE, device="cpu") is TABLE
    with pytest.raises(UserError, match=r"lut.json: was measured on 'cpu', this device is 'NVIDIA"):
        check_device(TABLE, device="NVIDIA H200", where="lut.json")
    assert device_kind() == jax.devices()[0].device_kind


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "has schema 2 in 'ms', this version reads schema 1"),
        ({"schema": "one"}, "has schema 'one'"),
        ({"unit": "s"}, "has schema 1 in 's'"),
        ({"device": None}, None),
        ({"batch": "many"}, "is malformed"),
        ({"entries": []}, "is malformed"),
        ({"entries": {KEY: {"p50": 1.0}}}, "is malformed"),
        ({"entries": {KEY: 3}}, "is malformed"),
        ({"entries": {KEY: "p50"}}, "is malformed"),
    ],
)
def test_broken_tables_are_explained(tmp_path, change, message):
    path = save_table(tmp_path / "lut.json", TABLE)
    value = json.loads(path.read_text()) | change
    if message is None:
        del value["device"]
        message = "lacks the key 'device'"
    path.write_text(json.dumps(value))
    with pytest.raises(UserError, match=message) as caught:
        load_table(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("p50", [-0.1, "fast", None])
def test_latencies_are_not_negative(tmp_path, p50):
    path = save_table(tmp_path / "lut.json", TABLE)
    value = json.loads(path.read_text())
    value["entries"][KEY]["p50"] = p50
    path.write_text(json.dumps(value))
    with pytest.raises(UserError, match=r"sep_conv_3x3 .*p50 is"):
        load_table(path)


@pytest.mark.parametrize("text", ["{", "[]", '{"space": "csmri_a"}'])
def test_what_is_no_table(tmp_path, text):
    path = tmp_path / "lut.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"not valid JSON|is not a latency table"):
        load_table(path)
    with pytest.raises(UserError, match="no such file"):
        load_table(tmp_path / "absent.json")
