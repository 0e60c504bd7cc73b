"""A reconstruction search under a latency budget, as a user types it."""

import json

import pytest

from jaxnas.core.config import load_config
from jaxnas.engine.timing import summarize
from jaxnas.reconstruction.profile import Scan, part_keys
from jaxnas.search.latency_table import (
    LatencyTable,
    device_kind,
    load_table,
    make_entry,
    save_table,
)
from jaxnas.spaces.genotype import load_genotype

TINY = """
data:
  synthetic: {volumes: 8, slices: 1, size: [16, 16]}
  split: {valid_fraction: 0, test_fraction: 0.2}
acquisition: {accelerations: [2], center_fractions: [0.2]}
network: {channels: 2, cells: 1, nodes: 1, cascades: 1}
latency: {budget_ms: 4, tau: 2, calls: 2, seconds: 0, calibration: 3}
search: {objective: bound, steps: 12, check_every: 6, alphas: {rate: 0.3}}
"""
FEDERATED = """
federated:
  partition: {method: even, clients: 2}
  search_rounds: 6
  local_steps: 2
  backend: loop
"""
FAST = "dil_2_conv_3x3"
EXACT = {"a": 1, "b": 0, "n": 3, "mape": 0, "raw_mape": 0, "raw_bias_ms": 0, "spearman": 1}
EXACT |= {"kendall": 1, "predicted_ms": [1, 2, 3], "measured_ms": [1, 2, 3]}


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


def sets(*settings):
    """The settings as arguments."""
    return [part for setting in settings for part in ("--set", setting)]


def write_table(tiny, settings, *, device, lacking=""):
    """A table beside the config in which one operation is fast and all others take 9 ms."""
    entries = {}
    for key, part in part_keys(load_config(tiny, overrides=settings), Scan((16, 16), 1)).items():
        ms = 0.1 if part.count else 0.5 if part.name == FAST else 9.0
        if part.name != lacking:
            entries[key] = make_entry(summarize([ms]))
    path = save_table(tiny.parent / "table.json", LatencyTable(device, "0", "default", 1, entries))
    return f"latency.table={path}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "method", "more"),
    [("csmri_a", "darts", ""), ("csmri_b", "milenas", FEDERATED), ("fedautomri", "milenas", "")],
)
def test_the_latency_term_changes_the_genotype(space, method, more, tiny, tmp_path, call):
    """Under the budget every edge keeps the fast operation; for accuracy alone not all do."""
    tiny.write_text(TINY + more)
    settings = [f"network.space={space}", f"search.method={method}"]
    settings.append(write_table(tiny, settings, device=device_kind()))

    def search(objective):
        run = tmp_path / objective
        run.mkdir()
        (run / "calibration.json").write_text(json.dumps(EXACT))
        arguments = sets(*settings, f"search.objective={objective}")
        result = call("search", tiny, "--workdir", run, "--quiet", *arguments)
        assert result.code == 0, result.err
        ((_, nodes),) = load_genotype(run / "genotype.json").cells
        edges = {source: [name for name, s in nodes[0] if s == source] for source in (0, 1)}
        last = json.loads((run / "alphas.json").read_text())["history"][-1]
        return run, [FAST in names for names in edges.values()], last["latency_ms"]

    _, kept, slow = search("accuracy")
    assert not all(kept)
    run, kept, fast = search("bound")
    assert all(kept) and fast < slow
    found = json.loads((run / "latency.json").read_text())
    assert found["budget_ms"] == 4 and found["shape"] == [1, 16, 16]
    assert found["predicted_ms"] > 0 and found["measured_ms"]["p50"] > 0
    assert call("report", run).code == 0
    assert "Latency of the network for 1 slice of 16×16" in (run / "report.html").read_text()


def test_a_table_that_does_not_fit_is_refused(tiny, tmp_path, call):
    for options, words in (
        ({"device": "another machine"}, "was measured on 'another machine'"),
        ({"device": device_kind(), "lacking": "dil_3_conv_3x3"}, "lacks the operation dil_3_conv"),
    ):
        given = sets(write_table(tiny, [], **options))
        result = call("search", tiny, "--workdir", tmp_path / "run", "--quiet", *given)
        assert result.code == 2 and words in result.err
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("latency=null", "needs a latency section"),
        ("search.method=random", "which random search has not"),
    ],
)
def test_an_objective_without_what_it_needs_is_refused(setting, words, tiny, call):
    result = call("search", tiny, *sets(setting))
    assert result.code == 2 and words in result.err


def test_profile_writes_what_a_search_reads(tiny, tmp_path, call):
    out = tmp_path / "measured.json"
    result = call(
        "profile",
        tiny,
        "--out",
        out,
        *sets("network.space=csmri_b", "latency=null", "search.objective=accuracy"),
    )
    assert result.code == 0, result.err
    table = load_table(out)
    asked = load_config(tiny, overrides=["network.space=csmri_b"])
    assert set(table.entries) == set(part_keys(asked, Scan((16, 16), 1)))
    assert table.device == device_kind() and table.batch == 1
