"""Who the clients of a segmentation are: patients, splits, weights, and what is refused."""

import pytest

from jaxnas.core.errors import UserError
from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.data.labeled import patient_names
from jaxnas.fed.labeled_clients import check_labeled_clients, open_labeled_clients
from jaxnas.fed.members import check_search_members

HEART = {"patients": 15, "slices": 2, "frames": 2, "size": [16, 16]}


def config(*, data=None, federated=None, **sections):
    """Fifteen patients of five diagnoses; one client per diagnosis unless asked otherwise."""
    federated = {"local_steps": 1} | (federated or {})
    if "clients" not in federated:
        federated.setdefault("partition", {"method": "natural"})
    split = {"test_fraction": 0.3}
    data = {"heart": HEART, "size": [16, 16], "spacing": None, "split": split} | (data or {})
    network = {"layers": 2, "scales": 2}
    return SegmentationConfig(
        task="segmentation", data=data, network=network, federated=federated, **sections
    )


def patients(client):
    return [p for group in client.dataset.patients.values() for p in group]


def test_a_client_per_diagnosis():
    clients = open_labeled_clients(config())
    source = clients[0].dataset.source
    groups = {ref.patient: ref.group for ref in source.volumes}
    assert [client.name for client in clients] == sorted(set(groups.values()))
    assert sorted(p for c in clients for p in patients(c)) == sorted(patient_names(source))
    for client in clients:
        assert {groups[p] for p in patients(client)} == {client.name}
        assert client.dataset.patients["train"] and client.dataset.patients["test"]
        # Two frames of two slices for each of its training patients.
        assert client.weight == client.slices("train") == 4 * len(client.dataset.patients["train"])


@pytest.mark.parametrize("method", ["even", "dirichlet"])
def test_a_partition_loses_and_doubles_nobody(method):
    asked = {"partition": {"method": method, "clients": 3}, "weights": "equal"}
    clients = open_labeled_clients(config(federated=asked))
    everyone = [p for client in clients for p in patients(client)]
    assert len(everyone) == len(set(everyone)) == 15
    assert [client.weight for client in clients] == [1.0] * 3
    # Of at least three, two train: one half for the weights, one for the architecture.
    assert min(len(client.dataset.patients["train"]) for client in clients) >= 2


def test_folds_split_the_whole_data():
    named = [{"name": "a", "patients": ["*[02468]"]}, {"name": "b", "patients": ["*[13579]"]}]
    split = {"method": "nnunet", "fold": 1}
    clients = open_labeled_clients(config(data={"split": split}, federated={"clients": named}))
    held = sorted(p for client in clients for p in client.dataset.patients["test"])
    (whole,) = open_labeled_clients(
        config(data={"split": split}, federated={"clients": [{"name": "x"}]})
    )
    assert held == sorted(whole.dataset.patients["test"])


@pytest.mark.parametrize(
    ("clients", "message"),
    [
        ([{"name": "a"}, {"name": "b"}], r"patient '\S+' is at client 'a' already"),
        ([{"name": "a", "patients": ["nobody*"]}], "pattern 'nobody\\*' matches none of the 15 p"),
        ([{"name": "all"}], "stands for all clients together"),
        ([{"name": "a", "patients": ["*1"]}, {"name": "b", "patients": ["*01"]}], "already"),
    ],
)
def test_clients_that_cannot_be(clients, message):
    with pytest.raises(UserError, match=message):
        open_labeled_clients(config(federated={"clients": clients}))


def test_clients_of_another_size_are_refused():
    other = {"heart": HEART | {"patients": 6}, "size": [32, 32], "spacing": None}
    asked = config(federated={"clients": [{"name": "a", "data": other}]})
    with pytest.raises(UserError, match=r"client 'a': data.size is \(32, 32\)"):
        check_labeled_clients(asked, open_labeled_clients(asked))


def test_a_search_needs_two_patients_to_halve():
    split = {"test_fraction": 0.5}
    clients = [{"name": "a", "patients": ["*1", "*2"]}]
    asked = config(data={"split": split}, federated={"clients": clients})
    found = open_labeled_clients(asked)
    if len(found[0].dataset.patients["train"]) > 1:
        asked = config(data={"split": {"test_fraction": 0.9}}, federated={"clients": clients})
        found = open_labeled_clients(asked)
    with pytest.raises(UserError, match="expected at least 2"):
        check_search_members(asked, found)


def test_folds_are_of_one_site():
    with pytest.raises(ValueError, match="folds"):
        config(data={"split": {"method": "nnunet"}}, train={"folds": [0, 1]})
