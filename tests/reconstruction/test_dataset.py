"""Batches of clients: functions of (seed, client, round, step), with the client's own masks."""

import jax
import numpy as np
import pytest

from jaxnas.data.batches import Batches
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.views import Cached
from jaxnas.engine.cohort import Cohort
from jaxnas.fed.feed import search_batches, training_batches
from jaxnas.mri.masks import MASKS, mask_shape
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.reconstruction.acquire import make_example
from jaxnas.reconstruction.dataset import Draws, MaskedBatches
from tests.fed.sites import SIZE, by_contrast, cohort_of, federated_config

EPOCHS = {"local_steps": None, "local_epochs": 2}
WIDTH = 40
SOURCE = Cached(SyntheticSource(volumes=2, slices=3, size=(SIZE, WIDTH)), max_bytes=1 << 20)


def unequal(*, federated=None, **sections):
    """Clients of 6, 6 and 3 training slices, one of them with masks of another kind."""
    t1, t2, pd = by_contrast("T1", "T2", "PD")
    t2["acquisition"] = {"mask": "equispaced", "accelerations": [4], "center_fractions": [0.2]}
    pd["volumes"] = ["*_000*_PD", "*_0011_PD"]
    federated = {"clients": [t1, t2, pd]} | (federated or {})
    return federated_config(federated=federated, **sections)


def equal(a, b):
    """Whether two (nested) batches hold the same arrays."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    return np.array_equal(a, b)


def test_local_steps_follow_the_size_of_a_client():
    config = unequal(federated=EPOCHS, train={"batch": 2})
    batches = training_batches(config, cohort_of(config))
    assert batches.steps.tolist() == [2 * 3, 2 * 3, 2 * 2] and batches.longest == 6
    config = unequal(federated={"local_steps": 5})
    assert training_batches(config, cohort_of(config)).steps.tolist() == [5, 5, 5]


def test_every_epoch_visits_every_slice():
    config = unequal(federated={"local_steps": None, "local_epochs": 1})
    cohort = cohort_of(config)
    batches = training_batches(config, cohort)
    orders = set()
    for c, dataset in enumerate(cohort.members.values()):
        for number in range(3):
            data = batches.batch(number)
            seen = tuple(int(data.batch(c, s)["index"][0]) for s in range(data.steps[c]))
            assert sorted(seen) == [*dataset.slices("train")]
            orders.add(seen)
    assert len(orders) > len(cohort.members)  # not the same order in every round


def test_steps_past_the_end_of_a_round_are_refused():
    config = unequal(federated=EPOCHS)
    data = training_batches(config, cohort_of(config)).batch(0)
    with pytest.raises(ValueError, match="client 2 has 6 steps, asked for 6"):
        data.batch(2, 6)


@pytest.fixture(scope="module")
def opened():
    """A config that can search and train, and its clients."""
    config = federated_config(federated=EPOCHS)
    return config, cohort_of(config)


@pytest.mark.parametrize("make", [training_batches, search_batches])
def test_a_client_depends_on_no_other(make, opened):
    """Nor on its place among them, nor on the order in which rounds and steps are asked for."""
    config, cohort = opened
    name = cohort.names[2]
    whole = make(config, cohort)
    alone = make(config, Cohort({name: cohort.members[name]}, cohort.weights[2:3]))
    for number, step in ((3, 1), (0, 0), (3, 0)):
        batch = whole.batch(number).batch(2, step)
        assert equal(batch, alone.batch(number).batch(0, step))
        assert equal(batch, whole.batch(number).batch(2, step))
    seeds = [make(config.model_copy(update={"seed": s}), cohort).batch(0) for s in (0, 1)]
    assert not equal(*(data.batch(2, 0) for data in seeds))


def test_halves_of_a_search_are_of_different_volumes(opened):
    config, cohort = opened
    batches = search_batches(config, cohort)
    for c, dataset in enumerate(cohort.members.values()):
        volumes = {"train": set(), "valid": set()}
        for step in range(batches.steps[c]):
            batch = batches.batch(0).batch(c, step)
            for half, found in volumes.items():
                found |= {dataset.source.slices[i].volume for i in batch[half]["index"]}
        assert not volumes["train"] & volumes["valid"]
        assert volumes["train"] | volumes["valid"] == {*dataset.groups["train"]}
        first = batches.batch(0).batch(c, 0)
        assert not equal(first["train"]["mask"], first["valid"]["mask"])


def masked(*, seed=0, size=2, **acquisition):
    """Masked batches of a tiny source, WIDTH columns wide."""
    config = AcquisitionConfig(
        **{"accelerations": (2.0, 4.0), "center_fractions": (0.2, 0.1)} | acquisition
    )
    return MaskedBatches(Batches(SOURCE, range(6), size=size, seed=0), config, Draws(), seed=seed)


@pytest.mark.parametrize("kind", MASKS)
def test_masks_are_of_the_clients_kind(kind):
    batches = masked(mask=kind)
    masks = np.concatenate([batches.batch(step)["mask"] for step in range(60)])
    assert masks.shape == (120, *mask_shape(kind, (SIZE, WIDTH))) and masks.dtype == np.float32
    assert set(np.unique(masks)) == {0.0, 1.0}
    center = MASKS[kind].center((SIZE, WIDTH), 0.1)
    assert masks[:, center].all()  # the smaller centre, in both accelerations
    # Both accelerations occur: some masks have about half of the columns, some about a quarter.
    kept = masks.mean(axis=(1, 2))
    assert kept.min() < 0.35 and kept.max() > 0.4


def test_masks_differ_between_items_steps_and_seeds():
    first = masked().batch(0)["mask"]
    assert np.array_equal(first, masked().batch(0)["mask"])
    others = (first[::-1], masked().batch(1)["mask"], masked(seed=1).batch(0)["mask"])
    assert not any(np.array_equal(first, other) for other in others)


def test_examples_use_the_masks_of_the_batch(key):
    """Whatever the key, but for columns that were never encoded."""
    batch = masked().batch(0)
    batch["columns"] = np.arange(WIDTH)[None] >= np.array([[0], [10]])
    make = jax.jit(make_example, static_argnames="acquisition")
    for k in jax.random.split(key):
        measurement, _ = make(k, batch, acquisition=AcquisitionConfig())
        np.testing.assert_array_equal(measurement.mask[0], batch["mask"][0])
        np.testing.assert_array_equal(measurement.mask[1, :, 10:], batch["mask"][1, :, 10:])
        assert not measurement.mask[1, :, :10].any()


def test_clients_of_one_program_have_masks_of_one_shape_and_levels_of_noise():
    """A client by columns beside one by points; a noisy one beside a clean one."""
    t1, t2, pd = by_contrast("T1", "T2", "PD")
    t1["acquisition"] = {"mask": "poisson", "accelerations": [3], "center_fractions": [0.3]}
    t2["acquisition"] = {"accelerations": [2], "center_fractions": [0.2], "noise": 0.25}
    config = federated_config(federated={"clients": [t1, t2, pd]})
    for make in (training_batches, search_batches):
        data = make(config, cohort_of(config)).batch(0)
        for client, level in enumerate((0.0, 0.25, 0.0)):
            batch = data.batch(client, 0)
            for half in (batch,) if make is training_batches else batch.values():
                assert half["mask"].shape[1:] == (SIZE, SIZE)
                np.testing.assert_array_equal(half["noise"], np.float32(level))
                columns = (half["mask"] == half["mask"][:, :1]).all()
                assert columns == (client > 0)


def test_clients_that_are_all_alike_bring_only_what_they_need():
    config = federated_config()
    batch = training_batches(config, cohort_of(config)).batch(0).batch(0, 0)
    assert batch["mask"].shape[1:] == (1, SIZE) and "noise" not in batch
