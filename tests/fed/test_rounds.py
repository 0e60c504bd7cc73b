"""A round: what it reads, keeps, refuses and remembers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core.errors import Diverged, UserError
from jaxnas.engine.clock import Clock
from jaxnas.engine.optim import make_optimizer, make_schedule
from jaxnas.engine.section import OptimConfig
from jaxnas.fed.program import training_program
from jaxnas.fed.state import client_key
from jaxnas.fed.strategy import Traffic
from tests.fed import tiny

STEPS = [2, 1, 3]
ENCODER, DECODER = 6 * 3 * 4, (3 * 6 + 6) * 4  # bytes


def test_readings_are_weighted_means_of_means():
    fed = tiny.federation()
    _, (row,) = tiny.run(fed, STEPS, rounds=1)
    assert [*row][:3] == ["loss", "size", "grad_norm"]
    assert {*row} == {
        n + c for n in ("loss", "size", "grad_norm") for c in ("", "/c0", "/c1", "/c2")
    }
    for name in ("loss", "size", "grad_norm"):
        want = np.average([row[f"{name}/c{c}"] for c in range(3)], weights=[1, 2, 3])
        np.testing.assert_allclose(row[name], want, rtol=1e-6)
    # The first loss of client 1, which has one step, by hand.
    key = client_key(jax.random.key(11), 1)
    program = training_program(tiny.loss, tiny.TX)
    state = program.begin(tiny.model(), None, key, jnp.int32(0))
    _, metrics = program.step(state, tiny.Data(0, STEPS).batch(1, 0), {}, {})
    np.testing.assert_allclose(row["loss/c1"], metrics["loss"], rtol=1e-5)


@pytest.mark.parametrize("backend", ["vmap", "loop"])
def test_an_update_that_is_not_finite_stops_the_run(backend):
    fed = tiny.federation(backend=backend)
    with pytest.raises(Diverged, match=r"round 2: the update of client 'c1' is not finite.*drop"):
        tiny.run(fed, STEPS, poison={(1, 1)})


@pytest.mark.parametrize(("backend", "devices"), [("vmap", 1), ("loop", 1), ("vmap", 4)])
def test_a_bad_update_is_dropped_without_a_trace(backend, devices, capsys):
    """The others are averaged as if it had not taken part; it keeps what it had."""
    options = {"method": tiny.MRI, "backend": backend, "devices": devices, "optimizer": "keep"}
    fed = tiny.federation(bad_update="drop", **options)
    before, _ = tiny.run(fed, STEPS, rounds=1)
    before = jax.device_get((before.held, before.optim, before.memory))
    state, rows = tiny.run(fed, STEPS, poison={(1, 1)})
    assert "round 2: the update of client 'c1' is not finite" in capsys.readouterr().err
    after = jax.device_get((state.held, state.optim, state.memory))
    tiny.assert_same(*[jax.tree.map(lambda x: x[1], tree) for tree in (before, after)])
    moved = jax.tree.map(lambda a, b: (a[0] != b[0]).any(), before[0], after[0])
    assert all(jax.tree.leaves(moved))

    assert [row["dropped"] for row in rows] == [0.0, 1.0]
    assert "loss/c1" in rows[0] and "loss/c1" not in rows[1]
    want = np.average([rows[1]["loss/c0"], rows[1]["loss/c2"]], weights=[1, 3])
    np.testing.assert_allclose(rows[1]["loss"], want, rtol=1e-6)
    sent = after[2]["params"]["encoder"]["kernel"]
    want = np.average(sent[[0, 2]], axis=0, weights=[1, 3])
    np.testing.assert_allclose(state.server["params"]["encoder"]["kernel"], want, atol=1e-6)


def test_nobody_left_is_the_end():
    fed = tiny.federation(bad_update="drop")
    with pytest.raises(Diverged, match=r"round 1: .* 'c0', 'c1', 'c2' .* no other is left"):
        tiny.run(fed, STEPS, poison={(0, 0), (0, 1), (0, 2)})
    fed = tiny.federation(bad_update="drop", weights=[0, 0, 1])
    with pytest.raises(Diverged, match=r"round 1: .* 'c2' .* no other is left"):
        tiny.run(fed, STEPS, poison={(0, 2)})


def test_a_client_of_weight_0_trains_and_counts_for_nothing():
    found, rows = tiny.run(tiny.federation(weights=[1, 0, 2]), STEPS, rounds=1)
    sent, _ = tiny.run(tiny.federation(method=tiny.NON_FED), STEPS, rounds=1)
    want = jax.tree.map(lambda x: (x[0] + 2 * x[2]) / 3, sent.held)
    tiny.assert_close(found.server, want)
    assert "loss/c1" in rows[0]


def test_those_who_sit_out_keep_what_they_have():
    fed = tiny.federation(5, method=tiny.NON_FED, participation=0.4, optimizer="keep", chunk=1)
    state = fed.init(jax.random.key(11), tiny.model())
    seen = set()
    for number in range(3):
        before = jax.device_get((state.held, state.optim))
        state, readings = fed(state, tiny.Data(number, [1] * 5))
        clients = fed.participants(number)
        assert len(clients) == 2
        assert {n for n in readings.names if "/" in n and n.startswith("loss")} == {
            f"loss/c{c}" for c in clients
        }
        for leaf, old in zip(jax.tree.leaves((state.held, state.optim)), jax.tree.leaves(before)):
            moved = {c for c in range(5) if (np.asarray(leaf)[c] != old[c]).any()}
            assert moved == {*clients}
        seen |= {*clients}
    assert len(seen) > 2


def test_every_client_has_draws_of_its_own():
    """Equal batches, one seed: the random offsets of two clients still differ."""
    fed = tiny.federation(2)
    data = tiny.Data(0, [1, 1])
    same = data.batch
    data.batch = lambda client, step: same(0, step)
    _, readings = fed(fed.init(jax.random.key(1), tiny.model()), data)
    row = readings.to_json()
    assert row["loss/c0"] != row["loss/c1"]


def schedule_counts(optim):
    """The positions of all schedules in an optimiser state."""
    nodes = jax.tree.leaves(
        optim, is_leaf=lambda node: isinstance(node, optax.ScaleByScheduleState)
    )
    return [np.asarray(n.count) for n in nodes if isinstance(n, optax.ScaleByScheduleState)]


def adam_state(optim):
    """The moments in an optimiser state."""
    nodes = jax.tree.leaves(optim, is_leaf=lambda node: isinstance(node, optax.ScaleByAdamState))
    return next(node for node in nodes if isinstance(node, optax.ScaleByAdamState))


def test_fresh_moments_at_the_schedules_step():
    program = training_program(tiny.loss, tiny.TX)
    step = jax.jit(program.step)
    state = program.begin(tiny.model(), None, jax.random.key(0), jnp.int32(0))
    for i in range(2):
        state, _ = step(state, tiny.Data(0, [9]).batch(0, i), {}, {})
    kept = program.begin(tiny.model(), program.optim(state), jax.random.key(0), jnp.int32(7))
    fresh = program.begin(tiny.model(), None, jax.random.key(0), jnp.int32(7))
    for begun, count in [(kept, 2), (fresh, 0)]:
        assert int(begun.step) == 7 and schedule_counts(begun.opt_state) == [7]
        assert int(adam_state(begun.opt_state).count) == count
    tiny.assert_same(adam_state(kept.opt_state).mu, adam_state(state.opt_state).mu)
    tiny.assert_same(fresh.opt_state[2], tiny.TX.init(tiny.model()["params"])[2])


def test_clients_of_unequal_size_end_the_schedule_together():
    """The rate of every client in round r begins at step r · max(steps)."""
    config = OptimConfig(name="sgd", momentum=0.0, rate=0.1, schedule="cosine")
    rounds, steps = 3, [1, 4]
    tx = make_optimizer(config, rounds * 4)
    fed = tiny.federation(2, method=tiny.NON_FED, tx=tx, optimizer="keep", backend="loop")
    state = fed.init(jax.random.key(11), tiny.model())
    rate = make_schedule(config, rounds * 4)
    for number in range(rounds):
        before = jax.tree.map(lambda x: x[0], state.held)["params"]
        data = tiny.Data(number, steps)
        program = training_program(tiny.loss, optax.sgd(1.0))
        begun = program.begin(
            {"params": before}, None, client_key(jax.random.key(11), 0), jnp.int32(4 * number)
        )
        after, _ = program.step(begun, data.batch(0, 0), {}, {})
        scale = rate(4 * number)
        want = jax.tree.map(lambda w, v, s=scale: w + s * (v - w), before, after.params)
        state, _ = fed(state, data)
        tiny.assert_close(jax.tree.map(lambda x: x[0], state.held)["params"], want)
    assert float(rate(4 * rounds)) == pytest.approx(0.0, abs=1e-9)


def test_kept_optimisers_go_on_and_fresh_ones_do_not():
    kept, _ = tiny.run(tiny.federation(1, optimizer="keep"), [3])
    fresh, _ = tiny.run(tiny.federation(1, optimizer="reset"), [3])
    assert fresh.optim == {} and int(adam_state(kept.optim).count[0]) == 6
    gap = jax.tree.map(lambda a, b: np.abs(a - b).max(), kept.server, fresh.server)
    assert max(jax.tree.leaves(gap)) > 1e-4


def test_memory_does_not_grow_with_the_clients():
    def shapes(clients, **options):
        fed = tiny.federation(clients, chunk=2, **options)
        return jax.eval_shape(fed.init, jax.random.key(0), tiny.model())

    assert shapes(3, optimizer="reset") == shapes(3000, optimizer="reset")
    kept = shapes(3000, optimizer="keep")
    assert {x.shape[0] for x in jax.tree.leaves(kept.optim)} == {3000}
    mix = shapes(3000, optimizer="reset", method=tiny.NON_FED)
    assert {x.shape[0] for x in jax.tree.leaves(mix.held)} == {3000}


@pytest.mark.parametrize(
    ("method", "want"),
    [
        (tiny.NON_FED, Traffic(0, 0)),
        (tiny.FEDAVG, Traffic(ENCODER + DECODER, ENCODER + DECODER)),
        (tiny.MRI, Traffic(ENCODER, ENCODER + 3 * ENCODER)),
        (tiny.METHODS["fedadam"], Traffic(ENCODER + DECODER, ENCODER + DECODER)),
        (tiny.METHODS["scaffold"], Traffic(2 * (ENCODER + DECODER), 2 * (ENCODER + DECODER))),
    ],
)
def test_traffic_in_exact_bytes(method, want):
    fed = tiny.federation(method=method)
    with pytest.raises(ValueError, match="call init first"):
        _ = fed.traffic
    fed.init(jax.random.key(0), tiny.model())
    assert fed.traffic == want


def test_the_clock_counts_rounds_and_compiles_once():
    fed = tiny.federation()
    fed.clock = clock = Clock()
    state, _ = tiny.run(fed, STEPS, rounds=1)
    compiling = clock.seconds["compile"]
    fed(state, tiny.Data(1, STEPS))
    assert clock.steps == 2
    assert clock.seconds["compile"] == compiling > clock.seconds["step"]
    assert clock.summary()["step_ms"] > 0


def test_the_data_of_another_round_are_refused():
    fed = tiny.federation()
    state = fed.init(jax.random.key(0), tiny.model())
    with pytest.raises(ValueError, match="expected the data of round 0, found those of 3"):
        fed(state, tiny.Data(3, STEPS))
    with pytest.raises(ValueError, match=r"expected steps \(3,\) of at least 1"):
        fed(state, tiny.Data(0, [1, 2]))
    with pytest.raises(ValueError, match=r"expected steps \(3,\) of at least 1"):
        fed(state, tiny.Data(0, [1, 0, 2]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk": 6, "devices": 4}, "chunk: 6 clients cannot be divided evenly among 4 devices"),
        ({"devices": 64}, r"devices: 64 devices asked for, found 4 \(cpu\)"),
        ({"weights": [0, 0, 0]}, "the weights of c0, c1, c2 sum to 0"),
    ],
)
def test_what_cannot_be_computed(options, message):
    with pytest.raises(UserError, match=message):
        tiny.federation(3, **options)


def test_an_error_while_reading_ends_the_round():
    fed = tiny.federation()
    data = tiny.Data(0, STEPS, heights=[6, 6])  # nothing for client 2
    with pytest.raises(IndexError):
        fed(fed.init(jax.random.key(0), tiny.model()), data)
