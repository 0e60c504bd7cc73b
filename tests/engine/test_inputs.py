"""inputs.json: which difference is named, and that the files of a run count by what they hold."""

import pytest

from jaxnas.core.errors import UserError
from jaxnas.engine.inputs import Held, check_inputs, describe_inputs, keep_inputs
from jaxnas.engine.rundir import RunDir

A, B, C = (Held(name, 4, (8, 6)) for name in "abc")
BEFORE = {"one": {"train": (A, B), "valid": (), "test": (C,)}, "two": {"train": (A,), "test": (B,)}}


def begun(folder, data, *, table=None):
    keep_inputs(RunDir(folder).inputs, describe_inputs(data, table))


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({"one": {"train": (B,), "valid": (), "test": (C,)}}, "one: 'a', in train then, is gone;"),
        (
            {"one": {"train": (A, B), "valid": (Held("d", 1, (1, 1)),), "test": (C,)}},
            "one: 'd', in valid now, is new;",
        ),
        (
            {"one": {"train": (A,), "valid": (B,), "test": (C,)}},
            "'b' was in train with 4 slices of 8×6, and is in valid with 4 slices of 8×6;",
        ),
        (
            {"one": {"train": (A, Held("b", 5, (8, 6))), "valid": (), "test": (C,)}},
            "'b' was in train with 4 slices of 8×6, and is in train with 5 slices of 8×6;",
        ),
        ({"one": {"train": (B, A), "valid": (), "test": (C,)}}, "one: the volumes come in another"),
        ({"three": {"train": (A,)}}, "three is new;"),
    ],
)
def test_the_first_difference_is_named(now, message, tmp_path):
    begun(tmp_path, BEFORE)
    with pytest.raises(UserError) as caught:
        check_inputs(RunDir(tmp_path).inputs, describe_inputs(BEFORE | now, None))
    assert message in str(caught.value) and str(tmp_path / "inputs.json") in str(caught.value)


def test_the_same_inputs_pass_and_are_kept_once(tmp_path):
    # Nothing to compare with yet.
    check_inputs(RunDir(tmp_path).inputs, describe_inputs(BEFORE, None))
    begun(tmp_path, BEFORE)
    check_inputs(RunDir(tmp_path).inputs, describe_inputs(BEFORE, None))
    begun(tmp_path, {})
    check_inputs(RunDir(tmp_path).inputs, describe_inputs(BEFORE, None))


def test_a_latency_table_may_move_but_not_change(tmp_path):
    first, second, other = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    first.write_text("{}")
    second.write_text("{}")
    other.write_text("[]")
    begun(tmp_path, BEFORE, table=str(first))
    check_inputs(RunDir(tmp_path).inputs, describe_inputs(BEFORE, str(second)))
    for table in (str(other), None):
        with pytest.raises(UserError, match=r"latency.table holds other times"):
            check_inputs(RunDir(tmp_path).inputs, describe_inputs(BEFORE, table))
