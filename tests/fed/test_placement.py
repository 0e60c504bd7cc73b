"""Devices and processes change where clients are computed, never what comes out."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.fed.placement import Placement
from tests.fed import tiny
from tests.fed.devices_run import CLIENTS, OPTIONS, PROCESSES, STEPS

ROOT = Path(__file__).resolve().parents[2]


def federation(devices):
    """The federation of `devices_run`."""
    return tiny.federation(CLIENTS, devices=devices, **OPTIONS)


@pytest.fixture(scope="module")
def one_device():
    """The states after one and after two rounds on one device."""
    return [tiny.run(federation(1), STEPS, rounds=rounds)[0] for rounds in (1, 2)]


@pytest.fixture(scope="module")
def saved_on_four(tmp_path_factory):
    """A directory with a checkpoint of round 1, written on four devices."""
    path = tmp_path_factory.mktemp("four")
    state, _ = tiny.run(federation(4), STEPS, rounds=1)
    with CheckpointStore(path / "checkpoints") as store:
        store.save(1, state, None)
    return path


def start(directory, devices, rounds, *extra, flags=""):
    """Starts `devices_run` in a process of its own, which has the devices to itself."""
    command = [sys.executable, "-W", "error", "-m", "tests.fed.devices_run", str(directory)]
    command += ["--devices", str(devices), "--rounds", str(rounds), *map(str, extra)]
    flags = f"{os.environ['XLA_FLAGS']} {flags}"
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    return subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(*processes):
    """Waits for processes and asserts that all went well."""
    said = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(said)


def check(directory, rounds, want):
    """The checkpoint and the result of a directory are those of one device."""
    with CheckpointStore(directory / "checkpoints") as store:
        assert store.latest() == rounds
        state, _ = store.restore(federation(1).init(jax.random.key(11), tiny.model()))
    tiny.assert_close(state, want)
    arrays, model = np.load(directory / "result.npz"), federation(1).client_model(want, 3)
    for name, layer in model["params"].items():
        np.testing.assert_allclose(arrays[name], layer["kernel"], atol=1e-6)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_a_checkpoint_of_four_devices_goes_on_on_others(saved_on_four, one_device, devices):
    fed = federation(devices)
    state = fed.init(jax.random.key(11), tiny.model())
    with CheckpointStore(saved_on_four / "checkpoints") as store:
        state, _ = store.restore(state)
    tiny.assert_close(state, one_device[0])
    for leaf in jax.tree.leaves((state.held, state.optim)):
        assert len(leaf.sharding.device_set) == devices
        assert leaf.addressable_shards[0].data.shape[0] == CLIENTS // devices
    state, _ = fed(state, tiny.Data(1, STEPS))
    tiny.assert_close(state, one_device[1])


def test_a_state_can_be_looked_at_without_its_devices(saved_on_four, one_device):
    fed = federation(4)
    target = jax.eval_shape(fed.init, jax.random.key(11), tiny.model())
    with CheckpointStore(saved_on_four / "checkpoints") as store:
        state, _ = store.restore(target)
    want = federation(1).client_model(one_device[0], 2)
    tiny.assert_close(fed.client_model(state, 2), want)
    assert fed.traffic.down == (1 + CLIENTS) * fed.traffic.up > 0


def test_the_same_checkpoint_goes_on_on_eight_devices(saved_on_four, one_device, tmp_path):
    directory = tmp_path / "eight"
    subprocess.run(["cp", "-r", str(saved_on_four), str(directory)], check=True)
    finish(start(directory, 8, 2, flags="--xla_force_host_platform_device_count=8"))
    check(directory, 2, one_device[1])


def test_two_processes_of_two_devices(one_device, tmp_path):
    """From nothing to round 1, and again from the checkpoint to round 2."""
    for rounds in (1, 2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        finish(
            *[start(tmp_path, 4, rounds, "--process", i, "--port", port) for i in range(PROCESSES)]
        )
        check(tmp_path, rounds, one_device[rounds - 1])


def test_clients_are_spread_and_the_server_is_everywhere():
    place = Placement(4)
    stack = place.put({"x": np.arange(8.0)})["x"]
    assert [shard.data.shape for shard in stack.addressable_shards] == [(2,)] * 4
    assert place.stack(8) == place.spread and place.stack(6) == place.everywhere
    assert Placement(1).spread is None


def test_several_processes_use_all_their_devices(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(UserError, match="2 devices asked for, but 2 processes have 4 together"):
        Placement(2)


def test_clients_on_several_devices_do_not_see_each_others_gradients():
    """A step under `split` is the step of each client alone, also where all begin alike."""

    def step(weights, batches, offsets, target):
        gradient = jax.vmap(jax.grad(lambda w, x: ((w * x - target) ** 2).sum()))
        return weights - 0.1 * gradient(weights, batches) + offsets

    place = Placement(4)
    weights, batches = np.ones((8, 3), np.float32), np.arange(8, dtype=np.float32)[:, None]
    offsets = np.arange(8, dtype=np.float32)[:, None]
    stacks = [place.put(stack) for stack in (weights, batches, offsets)]
    found = jax.jit(place.split(step))(*stacks, np.float32(2.0))
    want = weights - 0.1 * 2 * (weights * batches - 2.0) * batches + offsets
    np.testing.assert_allclose(found, want, rtol=1e-6)
