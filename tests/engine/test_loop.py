"""The loop: one trace, exact resume, early ends, and nothing bad ever saved.

Signals: the first asks, the second ends. And the progress bar.
"""

import dataclasses
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.errors import Diverged
from jaxnas.core.trees import all_finite
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.logs import MetricWriter, read_log
from jaxnas.engine.loop import STOP_SIGNALS, Cadence, ProgressBar, StopRequest, run_loop
from jaxnas.engine.step import CompiledStep
from tests.engine import tiny

EVERY = Cadence(log=4, checkpoint=6)


def run(run_dir, *, step=None, state=None, batches=None, steps=tiny.STEPS, every=EVERY, **hooks):
    """Runs the tiny problem in `run_dir`."""
    with CheckpointStore(run_dir / "checkpoints") as store, MetricWriter(run_dir) as writer:
        return run_loop(
            CompiledStep(step or tiny.step(), hooks.setdefault("clock", Clock())),
            state or tiny.initial_state(),
            batches or tiny.Batches(),
            steps=steps,
            store=store,
            writer=writer,
            stage="train",
            model="tiny",
            every=every,
            quiet=True,
            **hooks,
        )


def saved(run_dir, target):
    """Step and state of the newest checkpoint."""
    with CheckpointStore(run_dir / "checkpoints") as store:
        return store.latest(), store.restore(target)[0]


def assert_equal_trees(a, b):
    """Every leaf equal, bit by bit."""
    jax.tree.map(np.testing.assert_array_equal, unwrap(a), unwrap(b))


def unwrap(state):
    """The state with its key as numbers."""
    return state.replace(key=jax.random.key_data(state.key))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """State and log of an undisturbed run."""
    path = tmp_path_factory.mktemp("unbroken")
    return run(path), (path / "log.jsonl").read_text()


def test_training_learns_and_logs_means(unbroken):
    state, text = unbroken
    assert state.step == tiny.STEPS
    rows = text.splitlines()
    assert len(rows) == tiny.STEPS // EVERY.log
    assert rows[0].startswith('{"stage": "train", "model": "tiny", "step": 4, "loss": ')


def test_logged_value_is_the_mean_since_the_last_log(tmp_path):
    def step(state, batch):
        del batch
        return state.replace(step=state.step + 1), {"t": state.step}

    run(tmp_path, step=step, steps=10)
    assert [row["t"] for row in read_log(tmp_path / "log.jsonl")] == [1.5, 5.5, 8.5]


def test_one_trace_per_batch_shape_and_the_caller_keeps_its_state(tmp_path):
    traces = []

    def loss(*args):
        traces.append(1)
        return tiny.loss(*args)

    state = tiny.initial_state()
    shared = state.replace(opt_state=(state.opt_state, state.params))  # one buffer, twice

    def step(both, batch):
        new, metrics = tiny.make_train_step(loss, tiny.TX)(
            both.replace(opt_state=both.opt_state[0]), batch
        )
        return new.replace(opt_state=(new.opt_state, both.opt_state[1])), metrics

    run(tmp_path, step=step, state=shared, batches=tiny.Batches(sizes=(8, 9)))
    assert len(traces) == 2
    assert all_finite(state.params)  # not donated


def test_resume_is_bitwise_equal_also_in_the_log(tmp_path, unbroken):
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path, batches=PowerCut(17))
    step, _ = saved(tmp_path, tiny.initial_state())
    assert step == 12
    # The checkpoint does not coincide with a log line: its mean spans the cut.
    clock = Clock()
    batches = tiny.Batches()
    state = run(tmp_path, batches=batches, clock=clock)
    assert min(batches.asked) == 12
    assert clock.steps == tiny.STEPS
    assert_equal_trees(state, unbroken[0])
    assert (tmp_path / "log.jsonl").read_text() == unbroken[1]


class PowerCut(tiny.Batches):
    """Batches that end the run at a step."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def batch(self, step):
        """Raises at the step."""
        if step == self.at:
            raise RuntimeError("power cut")
        return super().batch(step)


def test_checkpoints_between_log_lines_change_nothing(tmp_path, unbroken):
    every = dataclasses.replace(EVERY, checkpoint=5)
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path, batches=PowerCut(16), every=every)
    assert saved(tmp_path, tiny.initial_state())[0] == 15
    assert_equal_trees(run(tmp_path, every=every), unbroken[0])
    assert (tmp_path / "log.jsonl").read_text() == unbroken[1]


def test_a_finished_run_is_returned_at_once(tmp_path):
    first = run(tmp_path, steps=6)
    batches = tiny.Batches()
    assert_equal_trees(run(tmp_path, steps=6, batches=batches), first)
    assert batches.asked == []


class Counter:
    """A host state that counts the log lines it has seen."""

    def __init__(self):
        self.seen = []

    def to_json(self):
        """The steps seen."""
        return {"seen": self.seen}

    def from_json(self, value):
        """Takes them back."""
        self.seen = value["seen"]


def test_early_stop_and_host_state_survive(tmp_path):
    def stopping(host, at):
        def on_log(step, state, row):
            assert int(state.step) == step and np.isfinite(row["loss"])
            host.seen.append(step)
            return len(host.seen) == at

        return on_log

    host = Counter()
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path, batches=PowerCut(10), host=host, on_log=stopping(host, 4))
    host = Counter()
    state = run(tmp_path, host=host, on_log=stopping(host, 4))
    assert state.step == 16 and host.seen == [4, 8, 12, 16]
    # Stopped means finished: the same command returns what there is.
    host, batches = Counter(), tiny.Batches()
    again = run(tmp_path, host=host, on_log=stopping(host, 9), batches=batches)
    assert_equal_trees(again, state)
    assert host.seen == [4, 8, 12, 16] and batches.asked == []


def test_validation_joins_the_row_of_its_step(tmp_path):
    every = dataclasses.replace(EVERY, validate=6)
    run(tmp_path, steps=14, every=every, validate=lambda state: {"valid": float(state.step)})
    rows = read_log(tmp_path / "log.jsonl")
    assert [(row["step"], "loss" in row, row.get("valid")) for row in rows] == [
        (4, True, None),
        (6, False, 6.0),
        (8, True, None),
        (12, True, 12.0),
        (14, True, 14.0),
    ]


def poisoned(at, *, metric=False, state=False):
    """A step with a NaN in its loss, or only in its state, at step number `at`."""

    def step(old, batch):
        new, metrics = tiny.step()(old, batch)
        bad = jnp.where(new.step == at, jnp.nan, 0.0)
        if metric:
            metrics["loss"] = metrics["loss"] + bad
        if state:
            new = new.replace(params=jax.tree.map(lambda p: p + bad, new.params))
        return new, metrics

    return step


def test_a_loss_that_is_not_finite_for_one_step_is_found(tmp_path):
    with pytest.raises(Diverged, match=r"train tiny: loss = nan after step 10 .* state of step 6"):
        run(tmp_path, step=poisoned(10, metric=True))
    step, state = saved(tmp_path, tiny.initial_state())
    assert step == 6 and all_finite(state)
    assert [row["step"] for row in read_log(tmp_path / "log.jsonl")] == [4, 8]


def test_a_state_that_is_not_finite_is_never_saved(tmp_path):
    # The last update before a checkpoint breaks the weights while its loss was still fine.
    with pytest.raises(Diverged, match="the state after step 12 is not finite"):
        run(tmp_path, step=poisoned(12, state=True))
    step, state = saved(tmp_path, tiny.initial_state())
    assert step == 6 and all_finite(state)


def test_a_run_that_diverges_at_once_keeps_its_start(tmp_path):
    with pytest.raises(Diverged, match="state of step 0 is kept"):
        run(tmp_path, step=poisoned(1, metric=True))


def test_validation_that_is_not_finite_is_divergence(tmp_path):
    with pytest.raises(Diverged, match="valid = nan after step 6"):
        run(
            tmp_path,
            steps=6,
            every=dataclasses.replace(EVERY, validate=3),
            validate=lambda state: {"valid": float("nan") if state.step == 6 else 0.0},
        )


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda s, b: (s, {"loss": jnp.zeros(3)}), r"'loss' must be a scalar, found shape \(3,\)"),
        (
            lambda s, b: (s.replace(step=s.step * 1.0), {"loss": jnp.zeros(())}),
            r"must keep the state's arrays: .step was .*int32.* became .*float32",
        ),
        (
            lambda s, b: (s.replace(opt_state=()), {"loss": jnp.zeros(())}),
            "must keep the state's arrays: .opt_state.* became None",
        ),
    ],
)
def test_a_wrong_step_is_refused_while_tracing(tmp_path, step, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, step=step)


def handlers():
    """What each signal would do."""
    return [signal.getsignal(number) for number in STOP_SIGNALS]


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_the_first_signal_is_a_request(number):
    before = handlers()
    with StopRequest() as stop:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested
        assert handlers() == before  # the second has its usual effect
    assert handlers() == before


@pytest.fixture
def interruptible():
    """SIGINT with its usual effect, which a process in the background of a shell lacks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_second_interrupt_ends_at_once(interruptible):
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        signal.raise_signal(signal.SIGINT)


def test_handlers_come_back_after_an_error():
    before = handlers()
    with pytest.raises(RuntimeError), StopRequest():
        raise RuntimeError
    assert handlers() == before


def test_other_threads_are_left_alone():
    seen = []

    def work():
        with StopRequest() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def show(*, quiet):
    """Two steps of a bar."""
    with ProgressBar("train derived", 3, 5, quiet=quiet) as bar:
        bar.advance()
        bar.advance()
        bar.note({"loss": 0.125, "grad_norm": 3.0})


def test_shows_name_count_and_losses(capsys):
    show(quiet=False)
    text = capsys.readouterr().err
    assert all(part in text for part in ("train derived", "5/5", "loss 0.125"))
    assert "grad_norm" not in text


def test_quiet_is_silent(capsys):
    show(quiet=True)
    assert capsys.readouterr() == ("", "")
