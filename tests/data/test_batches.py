"""Batches: a pure function of (seed, step), every slice once an epoch, clean prefetching."""

import threading
import time
from collections import Counter

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.batches import Batches, prefetch
from jaxnas.data.source import Slice, SliceRef


class Table:
    """Slices of two shapes; every pixel of slice i is i."""

    def __init__(self, sizes, *, sens=False):
        self.slices = tuple(SliceRef("v", i, (n, n), 2) for i, n in enumerate(sizes))
        self.sens = sens

    def read(self, i):
        shape = (2, *self.slices[i].shape)
        sens = np.ones(shape, np.complex64) if self.sens else None
        return Slice(np.full(shape, i, np.complex64), sens, None, "v", i)


SIZES = [8] * 7 + [6] * 4


def test_a_batch_has_one_shape_and_its_slices():
    batch = Batches(Table(SIZES, sens=True), range(11), size=3, seed=0).batch(5)
    assert set(batch) == {"kspace", "sens", "columns", "index"}
    n = batch["columns"].shape[1]
    assert batch["kspace"].shape == batch["sens"].shape == (3, 2, n, n)
    assert batch["kspace"].dtype == np.complex64 and batch["index"].dtype == np.int32
    np.testing.assert_array_equal(batch["kspace"][:, 0, 0, 0].real, batch["index"])
    assert batch["columns"].dtype == bool and batch["columns"].all()


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_every_epoch_visits_every_slice(size):
    batches = Batches(Table(SIZES), range(11), size=size, seed=0)
    orders = []
    for epoch in range(3):
        steps = range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch)
        rows = [batches.indices(step) for step in steps]
        assert all(len(row) == size for row in rows)
        assert set(np.concatenate(rows)) == set(range(11))
        orders.append(np.concatenate(rows).tolist())
    assert orders[0] != orders[1] != orders[2]


def test_order_is_a_function_of_seed_and_step():
    def order(seed, steps):
        batches = Batches(Table(SIZES), range(11), size=2, seed=seed)
        return {step: batches.indices(step).tolist() for step in steps}

    forwards, backwards = order(0, range(20)), order(0, reversed(range(20)))
    assert forwards == backwards != order(1, range(20))


def test_a_group_smaller_than_a_batch_is_repeated():
    indices = Batches(Table(SIZES), [1, 3], size=5, seed=0).indices(0)
    assert sorted(Counter(indices.tolist()).values()) == [2, 3]


def test_no_slices_is_an_error():
    with pytest.raises(ValueError, match="expected slices"):
        Batches(Table(SIZES), [], size=2, seed=0)


class Stream:
    """Batches that take unequal times, fail at `bad`, and count what was begun."""

    def __init__(self, bad=None):
        self.bad, self.begun = bad, []

    def batch(self, step):
        self.begun.append(step)
        time.sleep(0.002 * (step % 3))
        if step == self.bad:
            raise UserError(f"step {step}")
        return {"step": np.asarray(step)}


def worker_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_prefetch_keeps_the_order():
    steps = [int(b["step"]) for b in prefetch(Stream(), 3, 20, workers=3, depth=5)]
    assert steps == list(range(3, 20))
    assert not worker_threads()
    assert list(prefetch(Stream(), 4, 4)) == []
    assert len(list(prefetch(Stream(), 0, 2, depth=9))) == 2


def test_prefetch_works_ahead_but_not_further_than_depth():
    stream = Stream()
    iterator = prefetch(stream, 0, 100, depth=4)
    next(iterator)
    time.sleep(0.05)
    assert sorted(stream.begun) == [0, 1, 2, 3]
    iterator.close()
    assert not worker_threads()


def test_prefetch_raises_where_the_error_belongs():
    seen = []
    with pytest.raises(UserError, match="step 7"):
        for batch in prefetch(Stream(bad=7), 0, 100):
            seen.append(int(batch["step"]))
    assert seen == list(range(7))
    assert not worker_threads()


def test_prefetch_stops_with_the_loop_that_uses_it():
    stream = Stream()

    def consume():
        for batch in prefetch(stream, 0, 10_000):
            if batch["step"] == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert not worker_threads()
    assert len(stream.begun) < 20
