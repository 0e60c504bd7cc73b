"""A process that trains the tiny problem in a run directory, for tests that end it early.

python tests/engine/tiny_run.py RUN_DIR
"""

import sys
import time
from pathlib import Path

import numpy as np

from jaxnas.core.errors import Interrupted
from jaxnas.core.files import write_atomic
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.step import CompiledStep
from tests.engine import tiny

STEPS = 200


class SlowBatches(tiny.Batches):
    """Batches that take some milliseconds, so that there is a moment to interrupt."""

    def batch(self, step):
        """The batch of `step`, not at once."""
        time.sleep(0.012)
        return super().batch(step)


def main(run_dir: Path) -> int:
    """Trains, or goes on training, and writes the weights to `result.npz`."""
    with CheckpointStore(run_dir / "checkpoints") as store, MetricWriter(run_dir) as writer:
        try:
            state = run_loop(
                CompiledStep(tiny.step(), Clock()),
                tiny.initial_state(),
                SlowBatches(),
                steps=STEPS,
                store=store,
                writer=writer,
                stage="train",
                model="tiny",
                every=Cadence(log=10, checkpoint=7),
                quiet=True,
            )
        except Interrupted as error:
            print(error, file=sys.stderr)
            return error.exit_code
    arrays = {name: layer["kernel"] for name, layer in state.params.items()}
    np.savez(run_dir / "arrays.npz", **arrays)
    write_atomic(run_dir / "result.npz", (run_dir / "arrays.npz").read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
