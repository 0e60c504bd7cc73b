"""A federated run on many devices, or of many processes, in a directory; it goes on where it was.

python -m tests.fed.devices_run DIRECTORY --devices N --rounds R [--process I --port P]
"""

import argparse
from pathlib import Path

import jax
import numpy as np

from jaxnas.engine.checkpoint import CheckpointStore
from tests.fed import tiny

CLIENTS, STEPS, PROCESSES = 4, [2, 1, 2, 3], 2
OPTIONS = {"method": tiny.MRI, "optimizer": "keep"}


def main() -> None:
    """Runs to round R, saves every round and writes what client 3 would use to result.npz."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    for name in ("--devices", "--rounds", "--process", "--port"):
        parser.add_argument(name, type=int)
    args = parser.parse_args()
    local = args.devices
    if args.port:
        local = args.devices // PROCESSES
        jax.config.update("jax_num_cpu_devices", local)
        jax.distributed.initialize(
            f"127.0.0.1:{args.port}", num_processes=PROCESSES, process_id=args.process
        )
    else:
        jax.config.update("jax_num_cpu_devices", local)
    assert jax.local_device_count() == local and jax.device_count() == args.devices

    fed = tiny.federation(CLIENTS, devices=args.devices, **OPTIONS)
    state = fed.init(jax.random.key(11), tiny.model())
    with CheckpointStore(args.directory / "checkpoints") as store:
        found = store.restore(state)
        state = state if found is None else found[0]
        for number in range(int(state.round), args.rounds):
            state, readings = fed(state, tiny.Data(number, STEPS))
            store.save(number + 1, state, readings.to_json())
    model = fed.client_model(state, 3)["params"]
    if jax.process_index() == 0:
        arrays = {name: np.asarray(layer["kernel"]) for name, layer in model.items()}
        np.savez(args.directory / "result.npz", **arrays)


if __name__ == "__main__":
    main()
