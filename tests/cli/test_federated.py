"""Federated runs from the command line: all strategies, few clients at a time, unequal clients."""

import csv
import json

import h5py
import jax
import numpy as np
import pytest

from jaxnas.core.config import load_config
from jaxnas.data.fastmri import open_volume
from jaxnas.engine.logs import read_log
from jaxnas.fed.participation import draw_participants
from tests.cli.alone import run_alone

CLIENTS = ["client0", "client1", "client2"]
STRATEGIES = ["non_fed", "fedavg", "fedprox", "fedmri", "fedautomri"]
METHODS = [f"derived/{strategy}" for strategy in STRATEGIES]
RUN_FILES = (
    "config.yaml clients.json genotype.json alphas.json metrics.json slices.csv log.jsonl "
    "timings.json communication.json report.html"
).split()
PLACES = ("model", "strategy", "client", "acceleration")


def load(folder, name):
    return json.loads((folder / name).read_text())


def slices_of(folder):
    with (folder / "slices.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_file_of_a_run_is_there(federated):
    assert {name for name in RUN_FILES if not (federated / name).is_file()} == set()
    examples = sorted(path.name for path in (federated / "examples").iterdir())
    assert examples == sorted(f"{name}.{kind}" for name in CLIENTS for kind in ("json", "npz"))
    checkpoints = {path.name for path in (federated / "checkpoints").iterdir()}
    assert checkpoints == {"search", *(f"train-derived-{s}" for s in STRATEGIES)}
    assert load_config(federated / "config.yaml").federated.rounds == 4


def test_clients_are_unequal_and_have_no_volume_in_common(federated):
    clients = load(federated, "clients.json")
    assert [client["name"] for client in clients] == CLIENTS
    assert len({client["slices"]["train"] for client in clients}) > 1
    volumes = [v for client in clients for group in client["volumes"].values() for v in group]
    assert len(volumes) == len(set(volumes)) == 14
    assert all(client["weight"] == client["slices"]["train"] for client in clients)


def test_metrics_rows(federated):
    """Every method at every client and pooled; the rows follow from the slices."""
    metrics, slices = load(federated, "metrics.json"), slices_of(federated)
    assert metrics["task"] == "reconstruction" and all(name in metrics["data"] for name in CLIENTS)
    places = [tuple(row.get(name) for name in PLACES) for row in metrics["rows"]]
    contenders = [("zero_filled", None), *(("derived", s) for s in STRATEGIES)]
    assert places == [
        (*contender, client, a)
        for contender in contenders for client in (*CLIENTS, "all") for a in (2, 3, "all")
    ]  # fmt: skip
    for row, (model, strategy, client, acceleration) in zip(metrics["rows"], places):
        values = [
            float(s["psnr"])
            for s in slices
            if (s["model"], s["strategy"]) == (model, strategy or "")
            and client in ("all", s["client"])
            and str(acceleration) in ("all", s["acceleration"])
        ]
        assert row["n"] == len(values) > 0
        np.testing.assert_allclose(row["psnr"]["mean"], np.mean(values), rtol=1e-5)
        assert (row["params"] > 0) is (model == "derived") and set(row["volume"]) == {
            "psnr", "ssim", "nmse",
        }  # fmt: skip


def test_every_client_is_tested_on_its_own_volumes(federated):
    tested = {c["name"]: set(c["volumes"]["test"]) for c in load(federated, "clients.json")}
    for row in slices_of(federated):
        assert row["volume"] in tested[row["client"]]


def test_examples_show_every_method(federated):
    names = {"target", "mask", "zero_filled", *METHODS}
    for client in CLIENTS:
        with np.load(federated / "examples" / f"{client}.npz") as file:
            assert set(file) == {f"{a}/{name}" for a in (2, 3) for name in names}
        assert set(load(federated, f"examples/{client}.json")) == {"2", "3"}


def participants(number):
    """The names of who takes part in a round."""
    return {CLIENTS[i] for i in draw_participants(0, number, clients=3, fraction=0.7)}


def test_the_log_tells_rounds_and_who_took_part(federated):
    runs = {}
    for row in read_log(federated / "log.jsonl"):
        runs.setdefault((row["stage"], row["model"]), []).append(row)
    assert [*runs] == [("search", "csmri_b"), *(("train", name) for name in METHODS)]
    assert len({frozenset(participants(r)) for r in range(4)}) > 1
    for (stage, _), rows in runs.items():
        loss = "loss" if stage == "train" else "valid_loss"
        assert [row["step"] for row in rows] == [1, 2, 3, 4][: len(rows)]
        for row in rows:
            took_part = {n.partition("/")[2] for n in row if n.startswith(f"{loss}/")}
            assert took_part == participants(row["step"] - 1)
            validated = {n.partition("/")[2] for n in row if n.startswith("valid_psnr/")}
            due = stage == "train" and row["step"] % 2 == 0
            assert validated == (set(CLIENTS) if due else set())


def test_alphas_are_those_of_every_round(federated):
    """The warm-up counts in rounds: alphas stand still in the first one, and move after it."""
    alphas = load(federated, "alphas.json")
    assert [record["step"] for record in alphas["history"]] == [1, 2, 3]
    still, *moved = (np.array(record["weights"]["normal"]) for record in alphas["history"])
    np.testing.assert_allclose(still, 1 / 5, atol=1e-3)
    assert all(np.abs(weights - 1 / 5).max() > 1e-2 for weights in moved)
    assert alphas["history"][-1]["genotype"] == load(federated, "genotype.json")


def test_communication(federated):
    """Two of three clients in each round; bytes follow from the parameters."""
    found = load(federated, "communication.json")
    rows = {row.get("strategy"): row for row in load(federated, "metrics.json")["rows"]}
    size = 4 * rows["fedavg"]["params"]
    assert [*found] == ["search", *METHODS]
    for name in ("derived/fedavg", "derived/fedprox", "derived/fedautomri"):
        assert found[name] == {
            "up": size, "down": size, "clients": 2, "rounds": 4, "total": 2 * size * 2 * 4
        }  # fmt: skip
    assert found["derived/non_fed"]["total"] == 0
    assert 0 < found["derived/fedmri"]["up"] < size
    assert found["search"]["rounds"] == 3


def test_a_finished_run_does_nothing_twice(federated, tiny_federated):
    names = ("metrics.json", "slices.csv", "log.jsonl", "communication.json", "alphas.json")
    before = {name: (federated / name).read_bytes() for name in names}
    run_alone(tiny_federated, federated)
    assert before == {name: (federated / name).read_bytes() for name in names}


def images_of(federated, folder, out, call, *options):
    """What a trained network makes of the files of a folder."""
    result = call("reconstruct", federated, folder, "--out", out, "--acceleration", 3, *options)
    assert result.code == 0, result.err
    found = {}
    for path in sorted(folder.glob("*.h5")):
        with h5py.File(out / path.name) as file:
            found[path.name] = file["reconstruction"][:]
            assert file["reconstruction"].attrs["strategy"] == options[1]
        assert found[path.name].shape[-2:] == open_volume(path).image_size
    return found


def test_reconstruct(federated, tmp_path, call):
    """With FedAvg every client has the same weights, with Non-Fed its own."""
    made = call("data", "make", "--out", tmp_path / "in", "--volumes", 1, "--slices", 1,
                "--size", 20, 18)  # fmt: skip
    assert made.code == 0, made.err
    images = {}
    for strategy, client in (("fedavg", 0), ("fedavg", 2), ("non_fed", 0), ("non_fed", 2)):
        options = ["--strategy", strategy, "--client", CLIENTS[client]]
        out = tmp_path / f"{strategy}{client}"
        (images[strategy, client],) = images_of(
            federated, tmp_path / "in", out, call, *options
        ).values()
    assert np.array_equal(images["fedavg", 0], images["fedavg", 2])
    assert not np.array_equal(images["non_fed", 0], images["non_fed", 2])
    (shared,) = images_of(
        federated, tmp_path / "in", tmp_path / "shared", call, "--strategy", "fedavg"
    ).values()
    assert np.array_equal(shared, images["fedavg", 0])


def test_export(federated, tmp_path, call):
    path = tmp_path / "net.bin"
    options = ["--strategy", "fedmri", "--client", CLIENTS[1]]
    assert call("export", federated, "--out", path, *options).code == 0
    side = json.loads((tmp_path / "net.bin.json").read_text())
    assert (side["model"], side["strategy"], side["client"]) == ("derived", "fedmri", CLIENTS[1])
    function = jax.export.deserialize(bytearray(path.read_bytes()))
    image = function.call(np.ones((2, 16, 16), np.complex64), np.ones((2, 1, 16), np.float32))
    assert image.shape == (2, 16, 16) and np.isfinite(image).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--strategy is missing: derived was trained across clients with non_fed, fedavg"),
        (["--strategy", "fedsgd"], "--strategy fedsgd: not in this run; it has non_fed, fedavg"),
        (["--strategy", "fedmri"], "--client is missing: with fedmri every client has weights"),
        (["--strategy", "fedavg", "--client", "x"], "--client x: not in this run; it has client0"),
        (["--model", "unet", "--strategy", "fedavg"], "--model unet: not in this run; it has"),
    ],
)
@pytest.mark.parametrize("command", ["export", "reconstruct"])
def test_networks_a_run_does_not_have(command, options, message, federated, tmp_path, call):
    inputs = [] if command == "export" else [tmp_path]
    result = call(command, federated, *inputs, "--out", tmp_path / "out", *options)
    assert result.code == 2 and message in result.err
    assert not (tmp_path / "out").exists()


def test_untrained_methods_need_no_strategy(federated, finished, tmp_path, call):
    result = call("reconstruct", federated, tmp_path, "--out", tmp_path / "out",
                  "--model", "zero_filled", "--strategy", "fedavg")  # fmt: skip
    assert result.code == 2 and "zero_filled is not trained; leave --strategy out" in result.err
    for option in ("--strategy", "--client"):
        result = call("export", finished, "--out", tmp_path / "out", option, "fedavg")
        assert result.code == 2 and f"trained at one site; leave {option} out" in result.err


def test_inspect_shows_methods_and_bytes(federated, tiny_federated, call):
    params = {r["params"] for r in load(federated, "metrics.json")["rows"] if "strategy" in r}
    result = call("inspect", federated, "--json")
    assert result.code == 0, result.err
    rows = json.loads(result.out)["networks"]
    assert [row["strategy"] for row in rows] == STRATEGIES
    assert {row["params"] for row in rows} == params
    sent = {name: entry["up"] for name, entry in load(federated, "communication.json").items()}
    assert {f"derived/{row['strategy']}": row["up"] for row in rows} == {
        name: up for name, up in sent.items() if name != "search"
    }
    (row,) = json.loads(call("inspect", tiny_federated, "--supernet", "--json").out)["networks"]
    assert row["up"] == sent["search"]
    assert "received" in call("inspect", tiny_federated).out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["federated.partition.clients=5"], "14 volumes for 5 clients; expected at least 20"),
        (["federated.partition.by=scanner"], "federated.partition.by: 'scanner' is no label"),
        (["data.split.valid_fraction=0"], "client 'client0': train.validate_every is 2"),
        (["federated.local_epochs=0"], "federated.local_epochs"),
        (["federated.methods=[{strategy: fedautomri, gamma: 1.0}]"], "gamma"),
        (["federated.methods=[{strategy: fedmri, shared: [x]}]"], "matches no parameter"),
        (["federated.devices=64"], "64 devices asked for"),
        (["train.optimizer.warmup=10000"], "do not fit"),
    ],
)
def test_bad_settings(settings, message, tiny_federated, federated, tmp_path, call):
    """Exit code 2, one sentence, nothing written."""
    overrides = [part for setting in settings for part in ("--set", setting)]
    genotype = ["--genotype", federated / "genotype.json"]
    result = call("train", tiny_federated, "--workdir", tmp_path / "run", *overrides, *genotype)
    assert result.code == 2 and message in result.err
    assert "Traceback" not in result.err and not (tmp_path / "run").exists()


def test_two_kinds_of_one_strategy(tiny_federated, federated, tmp_path, call):
    """They are told apart by their names; with `mix` every client keeps weights of its own."""
    methods = "[{strategy: fedautomri}, {strategy: fedautomri, ema: mix, gamma: 0.9, name: mix}]"
    sets = ["--set", f"federated.methods={methods}", "--set", "federated.rounds=1"]
    result = call("train", tiny_federated, "--workdir", tmp_path, "--quiet", *sets,
                  "--genotype", federated / "genotype.json")  # fmt: skip
    assert result.code == 0, result.err
    result = call("export", tmp_path, "--out", tmp_path / "net", "--strategy", "mix")
    assert result.code == 2 and "every client has weights of its own" in result.err
    result = call("export", tmp_path, "--out", tmp_path / "net", "--strategy", "fedautomri")
    assert result.code == 0, result.err
