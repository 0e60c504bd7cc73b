"""However a round is computed, its numbers are the same; one client alone is a central run."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.engine.clock import Clock
from jaxnas.engine.optim import make_optimizer
from jaxnas.engine.section import OptimConfig
from jaxnas.engine.step import CompiledStep, init_train_state, make_train_step
from jaxnas.fed.program import search_program, training_program
from jaxnas.fed.state import client_key
from jaxnas.search.milenas import make_milenas_step
from jaxnas.search.moves import init_search_state
from tests.fed import tiny

STEPS = [2, 3, 1, 3, 2]
WAYS = [
    (backend, chunk, devices)
    for devices, chunks in [(1, (None, 2)), (4, (None, 4))]
    for backend in ("vmap", "map", "loop")
    for chunk in chunks
]


@pytest.fixture(scope="module")
def one_by_one():
    """Two rounds of five clients with everything to keep, one client at a time."""
    return tiny.run(tiny.federation(5, method=tiny.MRI, backend="loop", optimizer="keep"), STEPS)


@pytest.mark.parametrize(("backend", "chunk", "devices"), WAYS)
def test_backends_chunks_and_devices_agree(one_by_one, backend, chunk, devices):
    fed = tiny.federation(
        5, method=tiny.MRI, backend=backend, chunk=chunk, devices=devices, optimizer="keep"
    )
    state, rows = tiny.run(fed, STEPS)
    tiny.assert_close(state, one_by_one[0])
    for row, want in zip(rows, one_by_one[1]):
        assert row.keys() == want.keys()
        np.testing.assert_allclose([*row.values()], [*want.values()], rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def convs_one_by_one():
    """One round of three convolutional clients, one at a time."""
    return tiny.run(convolving("loop", 1), [2, 1, 2], rounds=1, start=tiny.conv_model())


def convolving(backend, devices):
    """Three clients whose models are convolutional."""
    program = training_program(tiny.conv_loss, tiny.TX)
    return tiny.federation(3, program=program, backend=backend, devices=devices)


@pytest.mark.parametrize(
    ("backend", "devices"), [("vmap", 1), ("map", 1), ("vmap", 2), ("loop", 4)]
)
def test_convolutions_of_many_clients_agree(convs_one_by_one, backend, devices):
    fed = convolving(backend, devices)
    state, _ = tiny.run(fed, [2, 1, 2], rounds=1, start=tiny.conv_model())
    tiny.assert_close(state, convs_one_by_one[0])


PROBLEMS = {"linear": (tiny.loss, tiny.model), "conv": (tiny.conv_loss, tiny.conv_model)}


def central(client, steps, *, rounds, problem="linear"):
    """A central run on the batches of one client, all rounds in one go."""
    loss, model = PROBLEMS[problem]
    key = client_key(jax.random.key(11), client)
    state = init_train_state(key, model()["params"], tiny.TX)
    advance, rows = CompiledStep(make_train_step(loss, tiny.TX), Clock()), []
    for number in range(rounds):
        data = tiny.Data(number, steps)
        for step in range(steps[client]):
            state, readings = advance(state, data.batch(client, step))
            rows.append(readings.to_json())
    return state, rows


@pytest.mark.optimised
@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_client_of_the_loop_is_a_central_run_bit_by_bit(problem):
    steps, (loss, model) = [2, 2, 2], PROBLEMS[problem]
    program = training_program(loss, tiny.TX)
    fed = tiny.federation(program=program, method=tiny.NON_FED, backend="loop", optimizer="keep")
    state, rows = tiny.run(fed, steps, start=model())
    for client in range(3):
        want, want_rows = central(client, steps, rounds=2, problem=problem)
        own = jax.tree.map(lambda x, c=client: x[c], (state.held["params"], state.optim))
        tiny.assert_same(own, (want.params, want.opt_state))
        for number, row in enumerate(rows):
            for name in want_rows[0]:
                mean = np.mean([r[name] for r in want_rows[2 * number : 2 * number + 2]])
                np.testing.assert_allclose(row[f"{name}/c{client}"], mean, rtol=1e-6)


@pytest.mark.optimised
@pytest.mark.parametrize(
    ("backend", "problem"),
    [("loop", "linear"), ("loop", "conv"), ("vmap", "linear"), ("map", "linear")],
)
def test_training_of_one_client_is_central_training(backend, problem):
    loss, model = PROBLEMS[problem]
    program = training_program(loss, tiny.TX)
    fed = tiny.federation(1, program=program, backend=backend, optimizer="keep")
    state, _ = tiny.run(fed, [3], start=model())
    want, _ = central(0, [3], rounds=2, problem=problem)
    found = state.server["params"], jax.tree.map(lambda x: x[0], state.optim)
    check = tiny.assert_same if backend == "loop" else tiny.assert_close
    check(found, (want.params, want.opt_state))


W_TX = make_optimizer(OptimConfig(rate=0.02, clip=0.5), 8)
A_TX = make_optimizer(OptimConfig(rate=0.05, betas=(0.5, 0.999), weight_decay=1e-3), 8)
MILENAS = functools.partial(make_milenas_step, tiny.search_loss, w_val=0.7)


def searching(clients, **options):
    """A federated MiLeNAS search."""
    program = search_program(MILENAS, W_TX, A_TX)
    return tiny.federation(clients, program=program, **options)


def search(fed, steps, *, rounds=2):
    """The state after a search."""
    state = fed.init(jax.random.key(11), tiny.search_model())
    for number in range(rounds):
        state, _ = fed(state, tiny.SearchData(number, steps))
    return state


@pytest.mark.optimised
@pytest.mark.parametrize("backend", ["loop", "vmap"])
def test_search_of_one_client_is_central_milenas(backend):
    state = search(searching(1, backend=backend, optimizer="keep"), [3])
    model, key = tiny.search_model(), client_key(jax.random.key(11), 0)
    want = init_search_state(key, model["params"], model["alphas"], W_TX, A_TX)
    advance = CompiledStep(MILENAS(W_TX, A_TX), Clock())
    for number in range(2):
        for step in range(3):
            want, _ = advance(want, tiny.SearchData(number, [3]).batch(0, step))
    found = state.server, jax.tree.map(lambda x: x[0], state.optim)
    check = tiny.assert_same if backend == "loop" else tiny.assert_close
    check(found, ({"params": want.params, "alphas": want.alphas}, (want.w_opt, want.a_opt)))


def test_alphas_are_averaged_with_the_weights_of_the_parameters():
    weights, steps = [3.0, 1.0], [2, 2]
    alone = search(searching(2, method=tiny.NON_FED), steps, rounds=1).held
    state = search(searching(2, weights=weights), steps, rounds=1)
    want = jax.tree.map(lambda x: 0.75 * x[0] + 0.25 * x[1], alone)
    tiny.assert_close(state.server, want)
    assert {*state.server} == {"params", "alphas"}
    assert float(jnp.abs(alone["alphas"]["cell"][0] - alone["alphas"]["cell"][1]).max()) > 1e-4


def test_clipping_bounds_the_step_of_the_weights():
    """FedNAS' code clips the logits' gradient by mistake; here ω moves by rate · clip at most."""
    w_tx = make_optimizer(OptimConfig(name="sgd", momentum=0.0, rate=0.1, clip=1e-3), 8)
    program = search_program(MILENAS, w_tx, A_TX)
    fed = tiny.federation(1, program=program, backend="loop")
    state = search(fed, [1], rounds=1)
    moved = jax.tree.map(lambda a, b: a - b, state.server, tiny.search_model())
    norm = np.sqrt(sum((np.asarray(x) ** 2).sum() for x in jax.tree.leaves(moved["params"])))
    np.testing.assert_allclose(norm, 0.1 * 1e-3, rtol=1e-3)
    assert float(jnp.abs(moved["alphas"]["cell"]).max()) > 1e-2


@pytest.mark.optimised
@pytest.mark.parametrize("backend", ["loop", "vmap", "map"])
def test_a_client_that_waits_for_longer_ones_is_left_alone(backend):
    """Client 1 with one step beside clients with many, and with none that is longer."""
    padded, _ = tiny.run(
        tiny.federation(method=tiny.NON_FED, backend=backend, optimizer="keep"), [4, 1, 3], rounds=1
    )
    alone, _ = tiny.run(
        tiny.federation(method=tiny.NON_FED, backend=backend, optimizer="keep"), [1, 1, 1], rounds=1
    )
    own = [jax.tree.map(lambda x: x[1], (s.held, s.optim)) for s in (padded, alone)]
    check = tiny.assert_same if backend == "loop" else tiny.assert_close
    check(*own)
    assert not np.array_equal(padded.held["params"]["encoder"]["kernel"][0], 0)


@pytest.mark.parametrize("backend", ["vmap", "map"])
def test_clients_with_images_of_different_heights(backend):
    heights = [6, 8, 6]
    found, _ = tiny.run(tiny.federation(backend=backend), [2, 2, 1], heights=heights)
    want, _ = tiny.run(tiny.federation(backend="loop"), [2, 2, 1], heights=heights)
    tiny.assert_close(found, want)


def test_one_trace_per_chunk_shape():
    traces = []

    def loss(*args):
        traces.append(1)
        return tiny.loss(*args)

    fed = tiny.federation(5, program=training_program(loss, tiny.TX), chunk=2)
    tiny.run(fed, [2, 2, 2, 2, 2], rounds=3)
    assert len(traces) == 2  # chunks of 2, 2 and 1
    assert fed._backend._step._cache_size() == 2


def test_the_caller_keeps_its_model():
    fed, model = tiny.federation(), tiny.model()
    state = fed.init(jax.random.key(0), model)
    fed(state, tiny.Data(0, [1, 1, 1]))
    tiny.assert_same(model, tiny.model())


@pytest.mark.parametrize("backend", ["vmap", "loop"])
def test_strategies_of_one_program_trace_it_once(backend):
    """They differ in what the server does, not in what a client does."""
    traces = []

    def loss(params, batch, key):
        traces.append(backend)
        return tiny.loss(params, batch, key)

    program = training_program(loss, tiny.TX)
    counts = []
    for method in (tiny.FEDAVG, tiny.NON_FED, tiny.FEDAVG):
        fed = tiny.federation(3, method=method, program=program, backend=backend)
        tiny.run(fed, [2, 2, 2])
        counts.append(len(traces))
    assert counts[0] > 0 and len(set(counts)) == 1
