"""A search across clients by any strategy that gives them a genotype in common."""

import functools
import json
from typing import get_args

import jax
import numpy as np
import optax
import pytest

from jaxnas.core.config import load_config
from jaxnas.core.errors import UserError
from jaxnas.engine.clock import Clock
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.run import Run
from jaxnas.fed import section as schema
from jaxnas.fed.feed import search_batches
from jaxnas.fed.program import search_program
from jaxnas.fed.search import search_federation, search_rounds
from jaxnas.fed.strategies import STRATEGIES, build_strategy
from jaxnas.search.darts import make_first_order_step
from jaxnas.search.methods import SearchProblem, make_method
from jaxnas.search.milenas import make_milenas_step
from jaxnas.search.random_search import make_random_step
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.space import rounded
from tests.fed import tiny
from tests.fed.sites import federated_config

ROUNDS = 4
PER_EPOCH = {"a": 2, "b": 1, "c": 2}  # batches of the clients
FOR_A_SEARCH = {
    "fedavg": {},
    "fedprox": {"mu": 2.0},
    "fedautomri": {"gamma": 0.4},
    "fedautomri, mix": {"ema": "mix"},
    "fedavgm": {"momentum": 0.5},
    "fedadam": {},
}


class Half:
    """The batches of one half of a client; ends the run at a step of the first one."""

    def __init__(self, client, half, *, until):
        self.client, self.half, self.until = client, half, until
        self.per_epoch = [*PER_EPOCH.values()][client]

    def batch(self, step):
        """The batch of a step."""
        if self.client == 0 and step == self.until:
            raise RuntimeError("power cut")
        return tiny.SearchData(step, [1] * 3).batch(self.client, 0)[self.half]


class Halved:
    """As much of a dataset as a search sees."""

    def __init__(self, client, *, until=None):
        self.client, self.until = client, until

    def halves(self, *, size, seed):
        """Two halves."""
        return tuple(Half(self.client, half, until=self.until) for half in ("train", "valid"))


class Mixture:
    """The space of tiny mixtures: nothing is ever derived of it."""

    name, operations, cells, nodes = "mixture", ("small", "large"), ("cell",), 1

    def relax(self, alphas):
        """Softmax over the two convolutions."""
        return jax.tree.map(jax.nn.softmax, alphas)

    def derive(self, weights, *, max_skips=None):
        """Always the same."""
        return Genotype("mixture", ())

    def record(self, weights):
        """The weights."""
        return {"weights": rounded(weights)}


PROBLEM = SearchProblem(Mixture(), lambda key: tiny.search_model(), tiny.search_loss)


def cohort(*, until=None):
    """Three tiny clients."""
    members = {name: Halved(i, until=until) for i, name in enumerate(PER_EPOCH)}
    return Cohort(members, (1.0, 2.0, 3.0))


def asking(**federated):
    """A config of a search by MiLeNAS with more keys of `federated`."""
    rounds = {"search_rounds": ROUNDS, "participation": 0.7, "local_steps": None, "local_epochs": 1}
    return federated_config(
        federated=rounds | federated, checkpoint_every=1, search={"method": "milenas"}
    )


def configured(label):
    """A config with one of the strategies."""
    strategy = {"strategy": label.partition(",")[0], **FOR_A_SEARCH[label]}
    return asking(search_strategy=strategy)


def search(path, config, *, until=None):
    """The state at the end of a search in a directory, or of going on with one."""
    path.mkdir(exist_ok=True)
    run, members = Run(config, path, quiet=True), cohort(until=until)
    method, batches = make_method(config.search, PROBLEM), search_batches(config, members)
    with MetricWriter(path) as writer:
        return search_rounds(run, members, method, batches, writer)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """The state of a search by FedAvg, asked for by its name."""
    return search(tmp_path_factory.mktemp("fedavg"), configured("fedavg"))


def test_the_default_is_fedavg(tmp_path, averaged):
    config = asking()
    assert config.federated.search_strategy == schema.FedAvgStrategy(strategy="fedavg")
    tiny.assert_same(search(tmp_path, config), averaged)


@pytest.mark.parametrize("label", sorted({*FOR_A_SEARCH} - {"fedavg"}))
def test_every_strategy_searches_in_its_own_way(tmp_path, averaged, label):
    """Weights and alphas move another way than by FedAvg, and are sent as often."""
    found = search(tmp_path, configured(label)).server
    gaps = jax.tree.map(lambda a, b: float(abs(a - b).max()), found, averaged.server)
    assert min(jax.tree.leaves(gaps)) > 0 and {*gaps} == {"params", "alphas"}
    sent = json.loads((tmp_path / "communication.json").read_text())["search"]
    assert sent["up"] == sent["down"] == 4 * (1 + 3 + 2)


@pytest.mark.parametrize("label", ["fedadam", "fedautomri, mix"])
def test_a_search_goes_on_bit_by_bit(tmp_path, label):
    """The memories of its server and of its clients are part of the state."""
    config = configured(label)
    unbroken = search(tmp_path / "unbroken", config)
    with pytest.raises(RuntimeError, match="power cut"):
        search(tmp_path / "broken", config, until=5)
    resumed = search(tmp_path / "broken", config)
    tiny.assert_same(resumed, unbroken)
    assert int(resumed.round) == ROUNDS


def test_every_strategy_is_for_a_search_or_has_a_reason():
    allowed = {label.partition(",")[0] for label in FOR_A_SEARCH}
    named = {
        get_args(section.model_fields["strategy"].annotation)[0]
        for section in get_args(get_args(schema.SearchStrategy)[0])
    }
    assert allowed == named
    assert allowed | {*schema.NOT_FOR_A_SEARCH} == {*STRATEGIES} == {*tiny.METHODS}
    assert not allowed & {*schema.NOT_FOR_A_SEARCH}


CONFIG = """\
federated:
  partition: {method: natural}
  local_steps: 1
  search_strategy: {strategy: %s}
"""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("non_fed", "no genotype in common"),
        ("fedmri", "cells of a supernet"),
        ("scaffold", "two losses and two optimisers"),
    ],
)
def test_what_cannot_be_combined_with_a_search(tmp_path, name, reason):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG % name)
    expected = rf"config.yaml:4: federated.search_strategy: {name} and a search.method cannot .*"
    with pytest.raises(UserError, match=f"{expected}{reason}.*; expected one of fedavg, fedprox"):
        load_config(path)
    path.write_text(CONFIG % "fedsgd")
    with pytest.raises(UserError, match=r"'fedsgd' .*'fedavg', .*'fedavgm', 'fedadam'"):
        load_config(path)


def test_a_strategy_has_one_section_for_searches_and_trainings():
    """So its keys, defaults and bounds are stated once."""
    methods = get_args(get_args(schema.Method)[0])
    for section in get_args(get_args(schema.SearchStrategy)[0]):
        (method,) = (method for method in methods if issubclass(method, section))
        own = {*method.model_fields} - {*schema.MethodConfig.model_fields}
        assert own == {*section.model_fields}


W_RATE, A_RATE, MU = 0.1, 0.05, 3.0
PENALTY = build_strategy(schema.FedProx(strategy="fedprox", mu=MU)).penalty
ALPHAS = {"cell": np.array([0.3, -0.5], np.float32)}
METHODS = {
    "darts": functools.partial(make_first_order_step, tiny.search_loss),
    "milenas": functools.partial(
        make_milenas_step, tiny.search_loss, w_train=0.4, w_val=0.7, update="simultaneous"
    ),
    "random": functools.partial(make_random_step, tiny.search_loss, sample=lambda key: ALPHAS),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_penalty_pulls_weights_and_alphas_once(name):
    """Beside the step without it ω moves by −η μ (ω − ωᵗ) more, and α by its own, whatever losses
    move it; random search has no α that moves."""
    make_step = METHODS[name]
    if name == "random":  # takes no optimiser of the alphas

        def make_step(w_tx, a_tx):
            return METHODS[name](w_tx)

    txs = optax.sgd(W_RATE), optax.sgd(A_RATE)
    programs = [search_program(make_step, *txs, penalty=p) for p in (PENALTY, None)]
    model, server = tiny.search_model(), jax.tree.map(lambda x: 0.7 * x, tiny.search_model())
    broadcast = build_strategy(schema.FedAvg(strategy="fedavg")).send({}, server, np.int32(1))
    batch, after = tiny.SearchData(0, [1]).batch(0, 0), []
    for program in programs:
        state = program.begin(model, None, jax.random.key(0), np.int32(0))
        state, metrics = jax.jit(program.step)(state, batch, {}, broadcast)
        after.append((program.model(state), metrics))
    (pulled, metrics), (plain, before) = after
    distance = jax.tree.map(lambda w, x: w - x, model, server)

    def expected(part, rate):
        return jax.tree.map(lambda p, d: p - rate * MU * d, plain[part], distance[part])

    tiny.assert_close(pulled["params"], expected("params", W_RATE))
    if name == "milenas":
        tiny.assert_close(pulled["alphas"], expected("alphas", A_RATE))
    elif name == "random":
        tiny.assert_same(pulled["alphas"], model["alphas"])
    else:  # DARTS moves α after ω, so that its gradient is another
        gap = jax.tree.map(lambda a, b: a - b, pulled["alphas"], expected("alphas", A_RATE))
        assert float(abs(gap["cell"]).max()) < 0.2 * A_RATE * MU * float(
            distance["alphas"]["cell"][0]
        )
    want = 0.5 * MU * sum(float((d**2).sum()) for d in jax.tree.leaves(distance))
    assert float(metrics["penalty"]) == pytest.approx(want, rel=1e-5)
    assert {*metrics} == {*before, "penalty"}


def test_without_mu_fedprox_searches_as_fedavg(tmp_path, averaged):
    found = search(tmp_path, asking(search_strategy={"strategy": "fedprox", "mu": 0.0}))
    tiny.assert_close(found.server, averaged.server)


def test_a_search_is_made_of_its_strategy():
    config = configured("fedadam")
    method = make_method(config.search, PROBLEM)
    federation = search_federation(config, cohort(), method, 2, Clock())
    state = federation.init(jax.random.key(0), tiny.search_model())
    assert {*state.memory} == {"first", "second"}
    assert {*state.memory["first"]} == {"params", "alphas"}
