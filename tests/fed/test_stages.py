"""What the stages write about clients, and what they look into before they begin."""

import csv
import io
import json

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.engine.run import Run
from jaxnas.engine.rundir import RunDir
from jaxnas.engine.task import Contender
from jaxnas.fed.partition import POOLED
from jaxnas.fed.section import Scaffold
from jaxnas.fed.strategy import Traffic
from jaxnas.fed.training import (
    abstract_model,
    is_personal,
    note_communication,
    round_traffic,
)
from jaxnas.models.costing import network_cost
from jaxnas.reconstruction.evaluate import ReconstructionEvaluator, client_slices
from jaxnas.reconstruction.networks import build_network
from jaxnas.reconstruction.scoring import Evaluation, SliceScore, VolumeScore
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.reconstruction.task import reconstruction_task
from jaxnas.spaces.supernet import supernet
from jaxnas.stages.evaluate import contender_rows, contenders
from jaxnas.stages.run import prepare
from tests.fed.sites import federated_config

METHODS = [
    {"model": "dccnn", "strategy": "non_fed"},
    {"model": "dccnn", "strategy": "fedavg"},
    {"model": "dccnn", "strategy": "fedprox", "mu": 1, "name": "strong"},
    {"model": "dccnn", "strategy": "fedmri"},
    {"model": "dccnn", "strategy": "fedautomri"},
    {"model": "dccnn", "strategy": "fedautomri", "ema": "mix", "name": "mix"},
    {"model": "dccnn", "strategy": "fedavgm"},
    {"model": "dccnn", "strategy": "fedadam"},
]
PERSONAL = {"non_fed", "fedmri", "mix"}
TV, AVERAGED = Contender("tv"), Contender("dccnn", "fedavg")
SITES = {"a": (4, 8), "b": (4,)}  # accelerations


@pytest.fixture(scope="module")
def results():
    """Scores of two clients: three slices of `a` at both accelerations, two of `b` at one."""
    rng, found = np.random.default_rng(0), {}
    for client, accelerations in SITES.items():
        slices, volumes = [], []
        for contender in (TV, AVERAGED):
            for acceleration in accelerations:
                volumes.append(
                    VolumeScore(contender.name, f"{client}0", acceleration, *rng.random(3))
                )
                for s in range(3 if client == "a" else 2):
                    place = (contender.name, f"{client}0", s, acceleration)
                    slices.append(SliceScore(*place, *rng.random(4)))
        found[client] = Evaluation(tuple(slices), tuple(volumes), {}, {})
    return found


def client_rows(contender, results):
    """The rows of a contender, of every client and of both pooled."""
    groups = {client: [own] for client, own in results.items()} | {POOLED: [*results.values()]}
    return contender_rows(contender, ReconstructionEvaluator(ReconstructionConfig()), groups)


def test_rows_of_clients_and_of_all_of_them_pooled(results):
    rows = client_rows(AVERAGED, results)
    places = [(row["client"], row["acceleration"]) for row in rows]
    assert places == [
        *(("a", x) for x in (4, 8, "all")), *(("b", x) for x in (4, "all")),
        *(("all", x) for x in (4, 8, "all")),
    ]  # fmt: skip
    assert [row["n"] for row in rows] == [3, 3, 6, 2, 2, 5, 3, 8]
    assert all((row["model"], row["strategy"]) == ("dccnn", "fedavg") for row in rows)
    everything = [s for r in results.values() for s in r.slices if s.model == "dccnn/fedavg"]
    values = np.array([s.psnr for s in everything])
    np.testing.assert_allclose(rows[-1]["psnr"]["mean"], values.mean(), rtol=1e-6)
    np.testing.assert_allclose(rows[-1]["psnr"]["std"], values.std(), rtol=1e-6)
    four = [v.ssim for r in results.values() for v in r.volumes
            if (v.model, v.acceleration) == ("dccnn/fedavg", 4)]  # fmt: skip
    np.testing.assert_allclose(rows[5]["volume"]["ssim"]["mean"], np.mean(four), rtol=1e-6)
    json.dumps(rows, allow_nan=False)


def test_untrained_methods_have_no_strategy(results):
    assert all("strategy" not in row for row in client_rows(TV, results))
    table = list(csv.DictReader(io.StringIO(client_slices([TV, AVERAGED], results))))
    assert list(table[0]) == ["model", "strategy", "client", *SliceScore._fields[1:]]
    assert [(r["model"], r["strategy"]) for r in table] == 8 * [("tv", "")] + 8 * [
        ("dccnn", "fedavg")
    ]
    assert {r["client"] for r in table} == {"a", "b"}
    scores = [s for s in results["b"].slices if s.model == AVERAGED.name]
    np.testing.assert_allclose(float(table[-1]["psnr"]), scores[-1].psnr, rtol=1e-6)


@pytest.fixture(scope="module")
def config():
    """A config of every strategy, one of them twice."""
    return federated_config(
        federated={"methods": METHODS},
        network={"space": "csmri_b", "channels": 2, "cells": 1, "nodes": 1, "cascades": 1},
    )


def test_contenders_in_the_order_of_tables(config):
    names = [contender.name for contender in contenders(config, ())]
    labels = ["non_fed", "fedavg", "strong", "fedmri", "fedautomri", "mix", "fedavgm", "fedadam"]
    assert names == [f"dccnn/{label}" for label in labels]


def test_who_has_weights_of_its_own_and_what_is_sent(config):
    """Bytes of all of a network, of none of it, or of its encoder and everybody's last one."""
    net = build_network("dccnn", config.network)
    model = abstract_model(reconstruction_task(config), net)
    sent = {}
    for method in config.federated.methods:
        assert is_personal(method, model) is (method.label in PERSONAL)
        sent[method.label] = round_traffic(method, model, clients=4)
    size = 4 * network_cost(net, (16, 16)).params
    assert sent["non_fed"] == Traffic(0, 0)
    scaffold = round_traffic(Scaffold(strategy="scaffold"), model, clients=4)
    assert scaffold == Traffic(up=2 * size, down=2 * size)
    for label in ("fedavg", "strong", "fedautomri", "mix", "fedavgm", "fedadam"):
        assert sent[label] == Traffic(up=size, down=size)
    assert 0 < sent["fedmri"].up < size and sent["fedmri"].down == 5 * sent["fedmri"].up


def test_a_search_sends_weights_and_alphas(config):
    net = supernet(config.network)
    size = 4 * (network_cost(net, (16, 16)).params + 2 * 5)  # two edges of five operations
    model = abstract_model(reconstruction_task(config), net)
    strategy = config.federated.search_strategy
    assert round_traffic(strategy, model, clients=4) == Traffic(up=size, down=size)


class Rounds:
    """As much of a federation as its bytes need: two of four clients, then three."""

    traffic = Traffic(up=10, down=30)

    def participants(self, number):
        """More and more clients."""
        return np.arange(2 + number)


def test_communication_counts_who_took_part(tmp_path):
    note_communication(RunDir(tmp_path), "search", Rounds(), 1)
    note_communication(RunDir(tmp_path), "dccnn/fedavg", Rounds(), 2)
    note_communication(RunDir(tmp_path), "search", Rounds(), 2)
    entry = {"up": 10, "down": 30, "clients": 2, "rounds": 2, "total": 40 * (2 + 3)}
    found = RunDir(tmp_path).communication.read()
    assert found == {"search": entry, "dccnn/fedavg": entry}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"train": {"optimizer": {"warmup": 150}}}, "warmup: 150 steps do not fit"),
        (
            {"federated": {"methods": [{"model": "unett", "strategy": "fedavg"}]}},
            "federated.methods: unknown network 'unett'",
        ),
        (
            {"federated": {"methods": [METHODS[3] | {"shared": ["params/nothing/*"]}]}},
            r"pattern 'params/nothing/\*' matches no parameter",
        ),
        (
            {"federated": {"clients": [{"name": "a", "weight": 0}], "methods": METHODS[:1]}},
            "weights of a sum to 0",
        ),
        ({"federated": {"methods": [{"strategy": "fedavg"}]}}, "no genotype yet"),
    ],
)
def test_training_is_looked_into_before_it_begins(sections, message, tmp_path):
    sections["federated"] = {"methods": METHODS} | sections.get("federated", {})
    run = Run(federated_config(**sections), tmp_path / "run")
    with pytest.raises(UserError, match=message):
        prepare(run, ["train"], fresh=False)
    assert not run.path.exists()


@pytest.mark.parametrize("optimizer", ["weights", "alphas"])
def test_a_search_is_looked_into_before_it_begins(optimizer, tmp_path):
    config = federated_config(search={optimizer: {"warmup": 50}})
    with pytest.raises(UserError, match=f"search.{optimizer}.warmup: 50 steps do not fit"):
        prepare(Run(config, tmp_path / "run"), ["search"], fresh=False)
