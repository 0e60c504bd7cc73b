"""Batches of slices in memory: a pure function of (seed, step), every slice once an epoch."""

from collections import Counter

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.batches import prefetch
from jaxnas.data.heart import HeartSource
from jaxnas.data.prepare import Preparation
from jaxnas.segmentation.dataset import LabeledBatches, prepare_slices

PREPARATION = Preparation(spacing=None, size=(24, 32))


def batches_of(n, *, size, seed=0):
    """Every pixel of slice i is i."""
    images = np.arange(n, dtype=np.float32)[:, None, None] * np.ones((1, 4, 6), np.float32)
    return LabeledBatches(images, (images % 4).astype(np.uint8), size=size, seed=seed)


def test_a_batch_holds_its_slices():
    batch = batches_of(7, size=3).batch(4)
    assert set(batch) == {"image", "label", "index"}
    assert batch["image"].shape == batch["label"].shape == (3, 4, 6)
    assert (batch["image"].dtype, batch["label"].dtype) == (np.float32, np.uint8)
    assert batch["index"].dtype == np.int32
    np.testing.assert_array_equal(batch["image"][:, 1, 2], batch["index"])
    np.testing.assert_array_equal(batch["label"][:, 1, 2], batch["index"] % 4)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
def test_every_epoch_visits_every_slice(size):
    batches = batches_of(7, size=size)
    orders = []
    for epoch in range(3):
        steps = range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch)
        rows = [batches.batch(step)["index"] for step in steps]
        assert all(len(row) == size for row in rows)
        counts = Counter(np.concatenate(rows).tolist())
        assert set(counts) == set(range(7)) and max(counts.values()) <= 2
        orders.append(np.concatenate(rows).tolist())
    assert orders[0] != orders[1] != orders[2]


def test_order_is_a_function_of_seed_and_step():
    def order(seed, steps):
        batches = batches_of(11, size=2, seed=seed)
        return {step: batches.batch(step)["index"].tolist() for step in steps}

    forwards, backwards = order(0, range(20)), order(0, reversed(range(20)))
    assert forwards == backwards != order(1, range(20))


def test_batches_can_be_prefetched():
    batches = batches_of(7, size=3)
    for step, batch in enumerate(prefetch(batches, 0, 9)):
        np.testing.assert_array_equal(batch["index"], batches.batch(step)["index"])


@pytest.mark.parametrize("wrong", [{"n": 0, "size": 2}, {"n": 3, "size": 0}])
def test_wrong_sizes(wrong):
    with pytest.raises(ValueError, match="expected slices"):
        batches_of(**wrong)
    with pytest.raises(ValueError, match="expected slices"):
        LabeledBatches(np.zeros((2, 4, 4)), np.zeros((2, 4, 5)), size=1, seed=0)


def test_prepared_slices_are_those_of_the_volumes():
    source = HeartSource(patients=3, slices=2, size=(32, 28))
    slices = prepare_slices(source, [4, 1], PREPARATION)
    assert slices.images.shape == slices.labels.shape == (4, 24, 32)
    np.testing.assert_array_equal(slices.volumes, [4, 4, 1, 1])
    for row, i in ((0, 4), (2, 1)):
        image, labels = PREPARATION.forward(source.read(i))
        np.testing.assert_array_equal(slices.images[row : row + 2], image)
        np.testing.assert_array_equal(slices.labels[row : row + 2], labels)


def test_training_needs_labels():
    source = HeartSource(patients=1, slices=1, size=16)
    with pytest.raises(UserError, match="no labelled volume"):
        prepare_slices(source, [], PREPARATION)
    source.frame = lambda *place: HeartSource.frame(source, *place)._replace(labels=None)
    with pytest.raises(UserError, match="patient001_frame01: has no labels"):
        prepare_slices(source, [0], PREPARATION)
