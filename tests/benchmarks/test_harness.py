import json
import sys

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.__main__ import run
from benchmarks.bench_scaling import exponent
from benchmarks.cases import MODULES, Case, select
from benchmarks.rows import BYTE_SHARES, Row, byte_share_rows, memory_row, time_row
from benchmarks.table import markdown, number, share
from benchmarks.targets import TARGETS, Target
from benchmarks.timing import Outcome, Program, Record, compare, largest_gap

WORKER = "tests.benchmarks.worker"


def outcome():
    """Ours is twice as fast as the faster of two peers; a third is not installed."""
    ours = Record(Program("ours", "m"), 9.0, 50.0, {"flop": 2e9}, 0.0, 100.0, [1.0, 2.0, 3.0])
    near = Record(Program("near", "m", "torch"), 3.0, 50.0, {}, 1e-6, 400.0, [2.0, 4.0, 12.0])
    far = Record(Program("far", "m", "torch"), 3.0, 50.0, {}, 1e-6, 10.0, [9.0, 9.0, 9.0])
    records = {r.program.name: r for r in (ours, near, far)}
    return Outcome(records, {"flower": "peer not installed"})


def test_ratio_is_the_median_within_rounds_against_the_fastest_peer():
    row = time_row("supernet/csmri_a", outcome())
    assert (row.ours, row.peer, row.peer_program, row.unit) == (2000.0, 4000.0, "near", "ms")
    assert (row.ratio, row.min, row.max) == (0.5, 0.25, 0.5)
    assert row.speedup == 2.0


def test_rates_turn_round_and_their_ratio_does_not():
    row = time_row("inference/csmri_a", outcome(), items=8.0)
    assert (row.ours, row.peer, row.unit, row.ratio) == (4.0, 2.0, "slices/s", 0.5)


def test_memory_is_that_of_the_same_two_programs():
    row = memory_row("memory/csmri_a", outcome())
    assert (row.ours, row.peer, row.ratio) == (100.0, 400.0, 0.25)
    assert row.verdict("cpu") == "met"


def test_a_missing_peer_is_said():
    row = time_row("round/flower", outcome(), peers=("flower",))
    assert row.note == "peer not installed" and row.ratio is None and row.ours == 2000.0
    assert row.verdict("cpu") == "not measured"
    assert "peer not installed" in markdown([row], "cpu", {})


@pytest.mark.parametrize(
    "target, figures, verdict",
    [
        (Target("speedup", 2.0), (2.0, 0.5, 1.0), "met"),
        (Target("speedup", 2.0), (1.9, 0.53, 1.0), "missed"),
        (Target("ratio", 0.5), (1.9, 0.53, 1.0), "missed"),
        (Target("ours", 20), (None, None, 20.0), "met"),
        (Target("ours", 20), (None, None, 20.1), "missed"),
        (Target("share", 0.4), (None, None, 0.3), "missed"),
        (Target("ratio", 0.5), (None, None, 1.0), "not measured"),
    ],
)
def test_targets(target, figures, verdict):
    assert target.verdict(*figures) == verdict


def test_every_target_has_a_row_in_its_suite():
    for suite, targets in TARGETS.items():
        rows = {row for _, case in select(suite, ()) for row in case.rows}
        assert set(targets) <= rows | set(BYTE_SHARES)


def test_byte_share():
    facts = {"s": {"median": 2.0}, "bytes": 8e9}
    row = Row("inference/csmri_a", "slices/s", 1.0, ours_program="a", programs={"a": facts})
    (share_row,) = byte_share_rows([row, Row("ceiling/copy", "GB/s", ours=10.0, peer=5.0)])
    assert share_row.name == "inference/csmri_a_bytes" and share_row.ours == 0.4
    assert share_row.verdict("gpu") == "met"


def test_rows_survive_json():
    row = time_row("supernet/csmri_a", outcome())
    value = json.loads(json.dumps(row.to_json("cpu")))
    assert Row.from_json(value) == row
    assert value["verdict"] == "met" and value["target"] == "≥ 1.3× faster"
    assert {"name", "ratio", "ours", "peer", "unit", "min", "max"} <= set(value)


def test_table_shows_shares_of_the_measured_ceilings():
    ceiling = Row("ceiling/matmul", "GFLOP/s", ours=10.0, peer=5.0)
    page = markdown([ceiling, time_row("supernet/csmri_a", outcome())], "cpu", {"cores used": "2"})
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("| `supernet")]
    summary, ours, *_ = lines
    assert summary[4] == "0.5" and summary[6] == "2.00×" and summary[8] == "met"
    assert ours[1] == "ours" and ours[8] == "10 %"  # 2e9 operations in 2 s, of 10e9 a second
    assert all(len(line) == len(ours) for line in lines[1:])


def test_numbers_and_shares():
    assert [number(x) for x in (None, 0.12345, 12.345, 12345.6)] == ["–", "0.123", "12.3", "12,346"]
    assert share({"s": {"median": 1.0}}, "flop", 10.0) == "–"


def test_select():
    names = [case.name for _, case in select("cpu", ["supernet/csmri_a"])]
    assert names == ["ceiling/matmul", "ceiling/copy", "supernet/csmri_a"]
    assert [case.name for _, case in select("cpu", ["memory/csmri_a"])] == names
    with pytest.raises(ValueError, match=r"--only supernets: no such row"):
        select("cpu", ["supernets"])
    every = [row for _, case in select("cpu", ()) for row in case.rows]
    assert len(every) == len(set(every)) and len(MODULES) == len(set(MODULES))


def test_a_case_that_fails_leaves_its_rows():
    case = Case(("nothing/a", "nothing/b"), None)
    rows = run("no_such_bench", case, 60)
    assert [row.name for row in rows] == list(case.rows)
    assert all("failed: ModuleNotFoundError" in row.note and row.ours is None for row in rows)
    assert [row.note for row in run("no_such_bench", case, 1)] == ["the suite's time was over"] * 2


def test_gap_is_relative_to_each_array():
    expected = {"a": np.array([0.0, 4.0]), "b": np.array([100.0]), "c": np.zeros(2)}
    found = {"a": np.array([1.0, 4.0]), "b": np.array([101.0]), "c": np.zeros(2)}
    assert largest_gap(found, expected) == 0.25
    assert largest_gap(found | {"c": np.ones(2)}, expected) > 1e6
    assert largest_gap({"a": expected["a"]}, expected) == np.inf


def test_exponent_of_a_power_law():
    assert abs(exponent([1, 2, 4, 8], [3.0, 3 * 2**1.5, 3 * 4**1.5, 3 * 8**1.5]) - 1.5) < 1e-9


def test_interpreters(monkeypatch):
    peers.interpreter.cache_clear()
    assert peers.interpreter(None) == sys.executable
    monkeypatch.setitem(peers.VARIABLES, "no_such_package", "JAXNAS_NONE_PYTHON")
    assert peers.interpreter("no_such_package") is None
    assert "JAXNAS_NONE_PYTHON" in peers.missing("no_such_package")


def test_compare_runs_in_turn_and_leaves_excuses(tmp_path, monkeypatch):
    monkeypatch.setitem(peers.VARIABLES, "numpy", "JAXNAS_NUMPY_PYTHON")
    monkeypatch.setitem(peers.VARIABLES, "no_such_package", "JAXNAS_NONE_PYTHON")
    problem = tmp_path / "problem.npz"
    np.savez(problem, x=np.ones(3))
    programs = [
        Program("ours", WORKER),
        Program("peer", WORKER, "numpy"),
        Program("slow", WORKER, "numpy"),
        Program("wrong", WORKER, "numpy"),
        Program("broken", WORKER, "numpy"),
        Program("absent", WORKER, "no_such_package"),
    ]
    found = compare(programs, problem, tolerance=1e-3, rounds=3)
    assert [len(record.seconds) for record in found.records.values()] == [3, 3]
    assert list(found.records) == ["ours", "peer"]
    assert found.excuses["broken"] == "this program cannot start"
    assert "not installed" in found.excuses["absent"]
    assert "away" in found.excuses["wrong"] and "fastest variant" in found.excuses["slow"]
    assert all(r.seconds[0] >= 0.01 and r.cold_s > 0 for r in found.records.values())
