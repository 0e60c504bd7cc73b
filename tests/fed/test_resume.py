"""A federated run that ends early and goes on is, bit by bit, the one that did not."""

import jax
import numpy as np
import pytest

from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.fed.section import FedAutoMRI
from tests.fed import tiny

ROUNDS, STEPS = 7, [1, 2, 1, 2]
RUNS = {
    "fedmri, some clients": {"method": tiny.MRI, "optimizer": "keep", "participation": 0.5},
    "moving average, drop": {
        "method": FedAutoMRI(strategy="fedautomri", gamma=0.7),
        "optimizer": "keep",
        "bad_update": "drop",
    },
    "mix, fresh optimisers": {
        "method": FedAutoMRI(strategy="fedautomri", ema="mix"),
        "optimizer": "reset",
        "chunk": 3,
    },
    "momentum at the server": {"method": tiny.METHODS["fedavgm"], "optimizer": "keep"},
    "Adam at the server, drop": {"method": tiny.METHODS["fedadam"], "bad_update": "drop"},
    "control variates, some clients": {"method": tiny.METHODS["scaffold"], "participation": 0.5},
    "control variates, four devices": {"method": tiny.METHODS["scaffold"], "devices": 4},
    "four devices": {"method": tiny.MRI, "optimizer": "keep", "devices": 4},
}


class PowerCut(tiny.Rounds):
    """Rounds that end the run at one of them."""

    def __init__(self, at, **options):
        super().__init__(STEPS, **options)
        self.at = at

    def batch(self, number):
        """Raises at the round."""
        if number == self.at:
            raise RuntimeError("power cut")
        return super().batch(number)


def run(path, fed, rounds):
    """Runs, or goes on with, a federated run in a directory."""
    with CheckpointStore(path / "checkpoints") as store, MetricWriter(path) as writer:
        return run_loop(
            fed,
            fed.init(jax.random.key(11), tiny.model()),
            rounds,
            steps=ROUNDS,
            store=store,
            writer=writer,
            stage="train",
            model="tiny/label",
            every=Cadence(log=3, checkpoint=1),
            quiet=True,
        )


@pytest.mark.parametrize("name", RUNS)
def test_resume_is_bitwise_equal(tmp_path, name):
    options = RUNS[name]
    poison = {(1, 0), (4, 2)} if "drop" in name else set()
    fed = tiny.federation(4, **options)
    unbroken = run(tmp_path / "unbroken", fed, PowerCut(None, poison=poison))
    for at in (1, 2, 5):
        with pytest.raises(RuntimeError, match="power cut"):
            run(tmp_path / "broken", fed, PowerCut(at, poison=poison))
    last = PowerCut(None, poison=poison)
    resumed = run(tmp_path / "broken", tiny.federation(4, **options), last)
    assert min(last.asked) == 5
    tiny.assert_same(resumed, unbroken)
    assert int(resumed.round) == ROUNDS
    logs = [(tmp_path / path / "log.jsonl").read_text() for path in ("broken", "unbroken")]
    assert logs[0] == logs[1] and logs[0].count("\n") == 3
    assert ("dropped" in logs[0]) == ("drop" in name)


@pytest.mark.parametrize(
    "after",
    [{"backend": "vmap", "chunk": 2}, {"backend": "map"}, {"backend": "loop", "devices": 2}],
    ids=str,
)
def test_a_run_goes_on_computed_in_another_way(tmp_path, after):
    """These keys may change in between: the result is the same within rounding."""
    options = {"method": tiny.MRI, "optimizer": "keep", "participation": 0.5}
    begun = tiny.federation(4, backend="loop", **options)
    unbroken = run(tmp_path / "unbroken", begun, PowerCut(None))
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "broken", begun, PowerCut(4))
    last = PowerCut(None)
    resumed = run(tmp_path / "broken", tiny.federation(4, **(options | after)), last)
    assert min(last.asked) == 4
    for found, want in zip(jax.tree.leaves(resumed), jax.tree.leaves(unbroken), strict=True):
        if jax.dtypes.issubdtype(found.dtype, jax.dtypes.prng_key):
            found, want = jax.random.key_data(found), jax.random.key_data(want)
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
