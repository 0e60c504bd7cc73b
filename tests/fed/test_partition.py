"""Partitions: disjoint, complete, reproducible, with the proportions they promise."""

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.fed.partition import dirichlet_partition, even_partition, natural_partition

LABELS = {f"scan{i:03d}": ("T1", "T2", "PD")[i % 3] for i in range(60)}
PARTITIONS = {
    "natural": lambda labels, seed: natural_partition(labels),
    "dirichlet": lambda labels, seed: dirichlet_partition(
        labels, clients=5, concentration=0.3, seed=seed
    ),
    "even": lambda labels, seed: even_partition(labels, clients=5, seed=seed),
}


@pytest.mark.parametrize("method", PARTITIONS)
@pytest.mark.parametrize("seed", range(5))
def test_every_volume_at_exactly_one_client(method, seed):
    partition = PARTITIONS[method](LABELS, seed)
    assert sorted(volume for own in partition.values() for volume in own) == sorted(LABELS)
    assert all(own and list(own) == sorted(own) for own in partition.values())
    assert list(partition) == sorted(partition)


@pytest.mark.parametrize("method", PARTITIONS)
def test_a_function_of_names_labels_and_seed(method):
    """The order in which volumes are listed does not matter, the seed does."""
    turned = dict(reversed(LABELS.items()))
    assert PARTITIONS[method](LABELS, 3) == PARTITIONS[method](turned, 3)
    assert (PARTITIONS[method](LABELS, 3) == PARTITIONS[method](LABELS, 4)) is (method == "natural")


def test_natural_clients_are_the_labels():
    labels = {"a": "T1", "b": "Philips 3T", "c": "T1", "d": "_x"}
    assert natural_partition(labels) == {"Philips-3T": ("b",), "T1": ("a", "c"), "x": ("d",)}
    with pytest.raises(UserError, match="'GE 3T' and 'GE/3T' would both be called 'GE-3T'"):
        natural_partition({"a": "GE 3T", "b": "GE/3T"})


@pytest.mark.parametrize(("volumes", "clients"), [(60, 5), (7, 3), (3, 3)])
def test_even_sizes_differ_by_one_at_most(volumes, clients):
    sizes = [
        len(own)
        for own in even_partition(map(str, range(volumes)), clients=clients, seed=0).values()
    ]
    assert sum(sizes) == volumes and max(sizes) - min(sizes) <= 1


def shares(concentration, seed, clients=4, labels=LABELS):
    """(clients, labels): the share of every label that every client has."""
    partition = dirichlet_partition(labels, clients=clients, concentration=concentration, seed=seed)
    names = sorted(set(labels.values()))
    counts = [[sum(labels[v] == n for v in own) for n in names] for own in partition.values()]
    return np.array(counts) / np.array(counts).sum(axis=0, keepdims=True)


def test_concentrated_proportions_are_even():
    np.testing.assert_allclose(shares(1e7, seed=0), 0.25)


@pytest.mark.parametrize("seed", range(4))
def test_spread_out_proportions_give_a_label_to_one_client(seed):
    """With as many labels as clients some get nothing, hence one volume of the largest."""
    largest = shares(1e-6, seed=seed, clients=2).max(axis=0)
    assert (largest >= 1 - 1 / 20).all()


@pytest.mark.parametrize("concentration", [0.3, 2.0])
def test_proportions_have_the_moments_of_the_dirichlet(concentration):
    """E[p] = 1/C and Var[p] = (C - 1) / (C² (C a + 1)), up to the rounding to whole volumes."""
    clients, label = 4, {f"scan{i:04d}": "T1" for i in range(400)}
    draws = np.stack(
        [shares(concentration, seed=s, clients=clients, labels=label)[:, 0] for s in range(800)]
    )
    variance = (clients - 1) / (clients**2 * (clients * concentration + 1))
    error = 4 * np.sqrt(variance / len(draws))
    np.testing.assert_allclose(draws.mean(axis=0), 1 / clients, atol=error)
    np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.2)


@pytest.mark.parametrize("least", [1, 3])
def test_no_client_is_empty(least):
    for seed in range(20):
        partition = dirichlet_partition(
            LABELS, clients=10, concentration=1e-3, seed=seed, least=least
        )
        assert min(map(len, partition.values())) >= least


def test_names_sort_as_they_are_numbered():
    names = list(dirichlet_partition(LABELS, clients=11, concentration=1.0, seed=0))
    assert names[:2] == ["client00", "client01"] and names[-1] == "client10"


@pytest.mark.parametrize("clients", [2, 30])
def test_too_many_clients(clients):
    labels = dict.fromkeys(list(LABELS)[: 2 * clients - 1], "T1")
    message = f"{2 * clients - 1} volumes for {clients} clients; expected at least {2 * clients}"
    with pytest.raises(UserError, match=message):
        dirichlet_partition(labels, clients=clients, concentration=1.0, seed=0, least=2)
    with pytest.raises(UserError, match=message):
        even_partition(labels, clients=clients, seed=0, least=2)
