"""Checkpoints: exact, newest first, robust to damage, closed to other configurations."""

import errno
import os
import shutil
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from jaxnas.core.errors import UserError
from jaxnas.engine.checkpoint import CheckpointStore


def make_state(value=1.0):
    """A state with every kind of leaf we save."""
    value = float(value)
    params = {"w": jnp.full((3, 2), value), "half": jnp.full((2,), value, jnp.bfloat16)}
    return {
        "params": params,
        "opt": optax.adam(1e-3).init(params),
        "image": jnp.full((2, 2), 1j * value, jnp.complex64),
        "step": jnp.int32(value),
        "key": jax.random.key(int(value)),
        "keys": jax.random.split(jax.random.key(int(value)), 3),
    }


def numbers(state):
    """The state with keys as numbers."""
    return state | {name: jax.random.key_data(state[name]) for name in ("key", "keys")}


def assert_same(a, b):
    """Equal structure, dtypes and bits."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(numbers(a)), jax.tree.leaves(numbers(b))):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.mark.parametrize("target", [make_state, lambda: jax.eval_shape(make_state)])
def test_round_trip(tmp_path, target):
    with CheckpointStore(tmp_path) as store:
        assert store.latest() is None and store.restore(target()) is None
        store.save(5, make_state(3.0), {"note": [0.1, None]})
    with CheckpointStore(tmp_path) as store:
        assert store.latest() == 5
        state, record = store.restore(target())
    assert_same(state, make_state(3.0))
    assert record == {"note": [0.1, None]}


def test_a_relative_directory_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with CheckpointStore("here") as store:
        store.save(1, make_state(), None)
    assert (tmp_path / "here" / "1").is_dir()


def test_the_state_may_be_donated_right_after_saving(tmp_path):
    double = jax.jit(partial(jax.tree.map, lambda x: 2 * x), donate_argnums=0)
    state = {"w": jnp.arange(1e5, dtype=jnp.float32)}
    with CheckpointStore(tmp_path) as store:
        store.save(1, state, None)
        for _ in range(5):
            state = double(state)
        restored, _ = store.restore(state)
    np.testing.assert_array_equal(restored["w"], np.arange(1e5, dtype=np.float32))


def test_the_record_may_change_right_after_saving(tmp_path):
    """orbax writes it in the background: what counts is what it was at the call."""
    with CheckpointStore(tmp_path, keep=40) as store:
        record = {"seen": []}
        for step in range(1, 21):
            record["seen"].append(step)
            store.save(step, make_state(step), record)
            record["seen"].append(-step)
            assert store.restore(make_state())[1]["seen"][-1] == step
            record["seen"].pop()


def test_keeps_the_newest(tmp_path):
    with CheckpointStore(tmp_path, keep=2) as store:
        for step in (1, 2, 3):
            store.save(step, make_state(step), step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


def test_a_step_that_is_not_newer_is_refused(tmp_path):
    with CheckpointStore(tmp_path) as store:
        store.save(3, make_state(), None)
        with pytest.raises(ValueError, match="step 3 is not newer than checkpoint 3"):
            store.save(3, make_state(), None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": jnp.float32(1)}, r"found int32\[\] at \['step'\], expected float32\[\]"),
        ({"image": jnp.zeros((3, 2), jnp.complex64)}, r"found complex64\[2, 2\] at \['image'\]"),
        ({"more": jnp.zeros(1)}, r"found nothing at \['more'\], expected float32\[1\]"),
    ],
)
def test_another_configuration_is_refused(tmp_path, change, message):
    with CheckpointStore(tmp_path) as store:
        store.save(1, make_state(), None)
        with pytest.raises(UserError, match=message):
            store.restore(make_state() | change)


def damage(directory):
    """Cuts every data file of a checkpoint in half."""
    for folder, _, names in os.walk(directory / "state"):
        for name in names:
            path = os.path.join(folder, name)
            os.truncate(path, os.path.getsize(path) // 2)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, capsys):
    with CheckpointStore(tmp_path) as store:
        for step in (1, 2):
            store.save(step, make_state(step), step)
    damage(tmp_path / "2")
    with CheckpointStore(tmp_path) as store:
        state, record = store.restore(make_state())
        assert "2: damaged checkpoint, going back" in capsys.readouterr().err
        assert record == 1
        assert_same(state, make_state(1))
        store.save(2, make_state(4), 4)  # the way is free again
    with CheckpointStore(tmp_path) as store:
        assert store.restore(make_state())[1] == 4


def test_nothing_but_damaged_checkpoints_is_an_error(tmp_path, capsys):
    with CheckpointStore(tmp_path) as store:
        store.save(1, make_state(), None)
    (tmp_path / "1" / "record" / "metadata").write_text("{")
    with (
        CheckpointStore(tmp_path) as store,
        pytest.raises(UserError, match=r"every checkpoint is damaged, found steps \[1\].*--fresh"),
    ):
        store.restore(make_state())
    assert "damaged" in capsys.readouterr().err


def test_what_a_killed_process_left_is_ignored(tmp_path):
    with CheckpointStore(tmp_path) as store:
        store.save(1, make_state(), "good")
    (tmp_path / "2.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    with CheckpointStore(tmp_path) as store:
        assert store.latest() == 1
        assert store.restore(make_state())[1] == "good"
        store.save(2, make_state(), "next")
    with CheckpointStore(tmp_path) as store:
        assert store.restore(make_state())[1] == "next"


def test_a_full_disk_keeps_what_is_there(tmp_path, monkeypatch):
    with CheckpointStore(tmp_path) as store:
        store.save(1, make_state(), "good")
        store.wait()
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
        with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
            store.save(2, make_state(2), "bad")
        monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    with CheckpointStore(tmp_path) as store:
        assert store.restore(make_state())[1] == "good"
        store.save(2, make_state(2), "next")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("RESOURCE_EXHAUSTED: Error writing [os_error_code='28']"),
    ],
)
def test_what_fails_in_the_background_is_one_line(tmp_path, monkeypatch, error):
    """orbax's array library tells of the system in a ValueError."""

    def fail(self):
        raise error

    with CheckpointStore(tmp_path) as store, monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "wait_until_finished", fail)
        with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
            store.wait()


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        ValueError("PERMISSION_DENIED: Error reading [os_error_code='13']"),
        OSError(errno.EIO, "Input/output error"),
    ],
)
def test_a_checkpoint_that_may_not_be_read_is_not_deleted(tmp_path, monkeypatch, error):
    def fail(self, step, **_):
        raise error

    with CheckpointStore(tmp_path) as store:
        store.save(1, make_state(), "good")
        store.wait()
        with monkeypatch.context() as patch:
            patch.setattr(ocp.CheckpointManager, "restore", fail)
            with pytest.raises(UserError, match="1: the checkpoint cannot be read"):
                store.restore(make_state())
        assert store.restore(make_state())[1] == "good"
