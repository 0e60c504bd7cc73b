"""The search from the command line: its plan, its networks, and all stages after it."""

import dataclasses
import json
import shutil

import pytest

from jaxnas.ops.costs import BUILT_IN

SMALL = ("network.nodes=1", "network.channels=2", "network.shared=true")
LAMBDA = ("network.lam=20", "network.learn_lam=true")


def sets(*settings):
    """The settings as arguments."""
    return [part for setting in settings for part in ("--set", setting)]


@pytest.mark.optimised
def test_the_plan_is_chosen_by_the_rates_of_the_run(tiny, tmp_path, call, monkeypatch):
    """A run whose record makes everything but one plan slow computes what that plan computes."""
    settings = ["--quiet", *sets("network.space=csmri_a", "search.steps=2", *SMALL)]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache, found = tmp_path / "cache" / "jaxnas", {}
    for plan, taps in (("stack", 1e12), ("dense", 1e3)):
        rates = dataclasses.replace(BUILT_IN["cpu"].training, taps=((8, taps),))
        monkeypatch.setattr("jaxnas.engine.rates.measure_rates", lambda rates=rates: rates)
        for run in ("auto", plan):
            folder = tmp_path / f"{run}-{plan}"
            result = call(
                "search", tiny, "--workdir", folder, *settings, "--set", f"network.plan={run}"
            )
            assert result.code == 0, result.err
            found[run] = (folder / "log.jsonl").read_text(), (folder / "alphas.json").read_text()
            assert (folder / "rates.json").exists() == (run == "auto")
        assert found["auto"] == found[plan]
        shutil.rmtree(cache)
    assert found["stack"] != found["dense"]


@pytest.mark.quick
def test_a_searched_genotype_goes_through_all_stages(tiny, tmp_path, call):
    """MiLeNAS, then training and evaluation of what it found, by weighted edges and adamw."""
    run = tmp_path / "run"
    settings = sets(
        "network.space=fedautomri", "network.edges=weighted", *SMALL, *LAMBDA, "network.cascades=2",
        "search.method=milenas", "search.steps=2", "train.models=[derived]", "train.steps=2",
        "train.optimizer.name=adamw", "train.validate_every=0",
    )  # fmt: skip
    result = call("run", tiny, "--workdir", run, "--quiet", *settings)
    assert result.code == 0, result.err
    metrics = json.loads((run / "metrics.json").read_text())
    assert "derived" in {row["model"] for row in metrics["rows"]}
    shown = call("inspect", run, "--json")
    assert json.loads(shown.out)["genotype"] == json.loads((run / "genotype.json").read_text())


def test_nothing_to_move_the_alphas_is_refused(tiny, tmp_path, call):
    settings = sets("search.method=milenas", "search.w_train=0", "search.w_val=0", *SMALL)
    result = call("search", tiny, "--workdir", tmp_path / "run", *settings)
    assert result.code == 2 and "search: w_train and w_val are both 0" in result.err


@pytest.mark.parametrize("edges", ["sum", "weighted"])
def test_inspect_shows_the_space(edges, tiny, call):
    """Table 2 of Wu et al.: the searched network, within ten percent, and the manual one."""
    paper = (
        "network.channels=8", "network.cells=2", "network.nodes=3", "network.cascades=5",
        "network.shared=true", "data.crop=[256, 256]",
        "train.models=[derived, fedautomri_baseline]",
    )  # fmt: skip
    settings = sets("network.space=fedautomri", f"network.edges={edges}", *LAMBDA, *paper)
    result = call("inspect", tiny, *settings)
    assert result.code == 0, result.err
    assert "fedautomri, image 256×256" in result.out and "std_conv_3x3" in result.out
    rows = {
        r["model"]: r
        for r in json.loads(call("inspect", tiny, "--json", *settings).out)["networks"]
    }
    assert rows["derived"]["params"] == pytest.approx(0.016e6, rel=0.1)
    assert rows["derived"]["flops_with_activations"] == pytest.approx(4.92e9, rel=0.1)
    joined = rows["derived"]["deployed"]
    assert joined["params"] < rows["derived"]["params"]  # 3×3 kernels on one edge became one
    assert joined["macs"] == 5 * 256**2 * (joined["params"] - 1)
    assert rows["fedautomri_baseline"]["params"] == 260_867
    assert "deployed" not in rows["fedautomri_baseline"]
    assert round(rows["fedautomri_baseline"]["flops_with_activations"] / 1e9, 2) == 85.65
    whole = json.loads(call("inspect", tiny, "--supernet", "--json", *settings).out)
    assert [row["model"] for row in whole["networks"]] == ["supernet"]
    assert whole["params"] == 117_457
