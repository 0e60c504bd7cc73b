"""Who the clients of a segmentation are: patients, splits, weights, and what is refused."""

import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import patient_names
from jaxnas.engine.groups import check_search_data
from jaxnas.fed.clients import open_clients
from jaxnas.segmentation.dataset import LabeledData
from jaxnas.segmentation.section import SegmentationConfig

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


def cohort_of(config):
    """The clients of a config."""
    return open_clients(config, LabeledData())


def patients(dataset):
    """All patients of a client, of whatever group."""
    return [p for group in dataset.groups.values() for p in group]


def test_a_client_per_diagnosis():
    cohort = cohort_of(config())
    source = cohort.first.source
    groups = {ref.patient: ref.group for ref in source.volumes}
    assert [*cohort.names] == sorted(set(groups.values()))
    everyone = sorted(p for dataset in cohort.members.values() for p in patients(dataset))
    assert everyone == sorted(patient_names(source))
    for (name, dataset), weight in zip(cohort.members.items(), cohort.weights):
        assert {groups[p] for p in patients(dataset)} == {name}
        assert dataset.groups["train"] and dataset.groups["test"]
        # Two frames of two slices for each of its training patients.
        assert weight == dataset.count("train") == 4 * len(dataset.groups["train"])


@pytest.mark.parametrize("method", ["even", "dirichlet"])
def test_a_partition_loses_and_doubles_nobody(method):
    asked = {"partition": {"method": method, "clients": 3}, "weights": "equal"}
    cohort = cohort_of(config(federated=asked))
    everyone = [p for dataset in cohort.members.values() for p in patients(dataset)]
    assert len(everyone) == len(set(everyone)) == 15
    assert cohort.weights == (1.0, 1.0, 1.0)
    # Of at least three, two train: one half for the weights, one for the architecture.
    assert min(len(dataset.groups["train"]) for dataset in cohort.members.values()) >= 2


def test_folds_split_the_whole_data():
    named = [{"name": "a", "patients": ["*[02468]"]}, {"name": "b", "patients": ["*[13579]"]}]
    split = {"method": "nnunet", "fold": 1}
    cohort = cohort_of(config(data={"split": split}, federated={"clients": named}))
    held = sorted(p for dataset in cohort.members.values() for p in dataset.groups["test"])
    whole = cohort_of(config(data={"split": split}, federated={"clients": [{"name": "x"}]}))
    assert held == sorted(whole.first.groups["test"])


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
        cohort_of(config(federated={"clients": clients}))


def test_clients_of_another_size_are_refused():
    other = {"heart": HEART | {"patients": 6}, "size": [32, 32], "spacing": None}
    asked = config(federated={"clients": [{"name": "a", "data": other}]})
    with pytest.raises(UserError, match=r"client 'a': data.size is \(32, 32\)"):
        cohort_of(asked)


def test_a_search_needs_two_patients_to_halve():
    clients = [{"name": "a", "patients": ["*1", "*2"]}]
    asked = config(data={"split": {"test_fraction": 0.5}}, federated={"clients": clients})
    cohort = cohort_of(asked)
    if cohort.first.count("train") > 4:
        asked = config(data={"split": {"test_fraction": 0.9}}, federated={"clients": clients})
        cohort = cohort_of(asked)
    with pytest.raises(UserError, match=r"client 'a': .*expected at least 2"):
        check_search_data(asked, cohort)


def test_folds_are_of_one_site():
    with pytest.raises(ValueError, match="folds"):
        config(data={"split": {"method": "nnunet"}}, train={"folds": [0, 1]})
