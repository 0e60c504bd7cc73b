"""Clients from a config: their volumes, splits and weights, and what is refused before a run."""

import h5py
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.make import make_dataset
from jaxnas.data.source import Slice, SliceRef
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.views import FullySampled
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.groups import check_search_data, check_training_data
from jaxnas.engine.rundir import RunDir
from jaxnas.fed.clients import read_acquisitions, read_clients, write_clients
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.reconstruction.dataset import KspaceDataset
from jaxnas.reconstruction.source import KspaceData
from tests.fed.sites import SIZE, by_contrast, cohort_of, federated_config, volume

SOME_T2 = ["*_00[01][135]_T2"]  # volumes 1, 5 and 13


def volumes(dataset):
    """All volumes of a client, of whatever group."""
    return {name for group in dataset.groups.values() for name in group}


@pytest.mark.parametrize(
    "partition",
    [
        {"method": "natural", "by": "contrast"},
        {"method": "natural", "by": "(T[12]|FLAIR|PD)$"},
        {"method": "dirichlet", "by": "contrast", "clients": 4, "concentration": 0.1},
        {"method": "even", "clients": 4},
    ],
    ids=["label", "pattern", "dirichlet", "even"],
)
def test_partitions_give_every_client_all_it_needs(partition):
    config = federated_config(federated={"partition": partition})
    cohort = cohort_of(config)
    everything = sorted(v for dataset in cohort.members.values() for v in volumes(dataset))
    assert everything == [volume(i) for i in range(16)]
    if partition["method"] == "natural":
        assert cohort.names == ("FLAIR", "PD", "T1", "T2")
        assert all(v.endswith(name) for name, own in cohort.members.items() for v in volumes(own))
    for check in (check_search_data, check_training_data):
        check(config, cohort)


def test_listed_clients_have_what_they_ask_for():
    magic = {"mask": "magic", "accelerations": [3], "center_fractions": [0.1]}
    t1, pd = by_contrast("T1", "PD")
    t2 = {"name": "T2", "volumes": SOME_T2, "weight": 2.5}
    config = federated_config(federated={"clients": [t1, pd | {"acquisition": magic}, t2]})
    cohort = cohort_of(config)
    t1, pd, t2 = cohort.members.values()
    assert volumes(t1) == {volume(i) for i in (0, 4, 8, 12)}
    assert volumes(t2) == {volume(i) for i in (1, 5, 13)}
    assert t1.acquisition == t2.acquisition == config.acquisition
    assert pd.acquisition.mask == "magic"
    assert [len(t2.groups[group]) for group in ("train", "valid", "test")] == [1, 1, 1]
    # The slices of two training volumes, and as given.
    assert (cohort.weights[0], cohort.weights[2]) == (2 * 3, 2.5)


def test_equal_weights():
    clients = by_contrast("T1", "T2")
    clients[1]["volumes"] = SOME_T2
    config = federated_config(federated={"clients": clients, "weights": "equal"})
    assert cohort_of(config).weights == (1.0, 1.0)


def test_patterns_split_the_whole_data_and_fractions_every_client():
    """A client has its part of every group, though no pattern names the client."""
    split = {
        "train": ["*_000[0-7]_*"],
        "valid": ["*_001[0-1]_*"],
        "test": ["*_000[89]*", "*_001[2-5]_*"],
    }
    config = federated_config(split=split, federated={"clients": by_contrast("T1", "T2", "PD")})
    t1, t2, pd = (dataset.groups for dataset in cohort_of(config).members.values())
    assert (t1["train"], t1["test"]) == ((volume(0), volume(4)), (volume(8), volume(12)))
    assert (t2["valid"], pd["valid"]) == ((), (volume(11),))


def test_clients_share_the_source_of_one_data_section():
    """Their slices are cached once; coil maps of another centre fraction need another source."""
    narrow = {"accelerations": [4], "center_fractions": [0.1]}
    t1, t2, pd = by_contrast("T1", "T2", "PD")
    config = federated_config(federated={"clients": [t1, t2, pd | {"acquisition": narrow}]})
    first, second, third = (dataset.source for dataset in cohort_of(config).members.values())
    assert first is second and first is not third
    assert first.max_bytes == third.max_bytes


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders with files of the same names, of other sizes."""
    found = []
    for seed, size in ((1, SIZE), (2, SIZE + 4)):
        found.append(tmp_path_factory.mktemp(f"site{seed}"))
        make_dataset(found[-1], SyntheticSource(volumes=4, slices=2, size=size, seed=seed))
    return found


def at_sites(folders, second):
    """A client per folder, the second with more keys of its data section."""
    data = [{"source": "fastmri", "path": str(folder)} for folder in folders]
    clients = [{"name": "a", "data": data[0]}, {"name": "b", "data": data[1] | second}]
    return federated_config(federated={"clients": clients})


def test_data_of_their_own(folders):
    """Files of one name in two folders are two volumes."""
    first, second = cohort_of(at_sites(folders, {"crop": [SIZE, SIZE]})).members.values()
    assert volumes(first) == volumes(second) and len(volumes(first)) == 4


def test_another_size_is_refused(folders):
    with pytest.raises(UserError, match=r"client 'b': volume .*20×20 with 1 coil.*data\.crop"):
        cohort_of(at_sites(folders, {}))


@pytest.mark.parametrize(
    ("clients", "message"),
    [
        ([{"name": "a", "volumes": ["*_T9"]}], r"client 'a': pattern '\*_T9' matches none of the"),
        ([{"name": "a", "volumes": []}], "client 'a': has no volume"),
        ([{"name": "all"}], "client 'all': that name stands for all clients"),
        ([{"name": "a"}, {"name": "b"}], "client 'b': volume 'synthetic_0000_T1' is at client 'a'"),
        (
            [{"name": "a"}, {"name": "b", "data": {"synthetic": {"volumes": 3, "size": [32, 32]}}}],
            "client 'b': volume 'synthetic_0000_T1' is at client 'a' already",
        ),
        ([{"name": "a", "volumes": ["*_0000_T1"]}], "client 'a': group 'valid'"),
        (
            [{"name": "a", "data": {"source": "fastmri", "path": "/nowhere"}}],
            "client 'a': /nowhere: no such file or folder",
        ),
    ],
)
def test_clients_that_cannot_be(clients, message):
    with pytest.raises(UserError, match=message):
        cohort_of(federated_config(federated={"clients": clients}))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (
            {"train": ["*_FLAIR", "*_T1"], "test": ["*_PD"]},
            "client 'FLAIR': .* the group 'test'",
        ),
        (
            {"train": ["*_T1", "*_PD"], "test": ["*_FLAIR"]},
            "client 'FLAIR': .* the group 'train'",
        ),
    ],
)
def test_a_client_without_a_group(groups, message):
    with pytest.raises(UserError, match=message):
        cohort_of(federated_config(split=groups))


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        ({"by": "scanner"}, "federated.partition.by: 'scanner' is no label"),
        ({"method": "even", "clients": 9}, "16 volumes for 9 clients; expected at least 36"),
    ],
)
def test_partitions_that_cannot_be(partition, message):
    with pytest.raises(UserError, match=message):
        cohort_of(federated_config(federated={"partition": partition}))


def test_a_partition_gives_no_more_than_the_stages_need():
    partition = {"method": "even", "clients": 8}
    sections = {"split": {"valid_fraction": 0}, "stages": ["train", "evaluate"]}
    cohort = cohort_of(federated_config(federated={"partition": partition}, **sections))
    assert len(cohort.members) == 8
    with pytest.raises(UserError, match="client 'client0': training data has 1 volume"):
        check_search_data(federated_config(), cohort)


def test_a_client_without_the_validation_that_is_asked():
    config = federated_config(train={"validate_every": 1}, split={"valid_fraction": 0})
    with pytest.raises(UserError, match=r"client 'FLAIR': train.validate_every is 1, but no vol"):
        check_training_data(config, cohort_of(config))


def test_undersampled_volumes_are_refused():
    class Table:
        slices = tuple(SliceRef(name, 0, (8, 8), 1, masked=name == "c") for name in "abc")

        def read(self, i):
            return Slice(np.ones((8, 8), np.complex64), None, None, "abc"[i], 0)

    def check(*names):
        groups = {"train": names[:1], "valid": (), "test": names[1:]}
        acquisition = AcquisitionConfig(accelerations=(2,), center_fractions=(0.25,))
        dataset = KspaceDataset(
            source=FullySampled(Table()), groups=groups, acquisition=acquisition
        )
        Cohort({"site": dataset}, (1.0,)).each(lambda name, data: KspaceData().check(data))

    check("a", "b")
    for names in ("ac", "ca"):
        with pytest.raises(UserError, match="client 'site': volume 'c' is undersampled already"):
            check(*names)


@pytest.mark.parametrize(
    ("acquisition", "message"),
    [
        ({"peak": 3.0}, "client 'T2': acquisition.peak is 3, client 'T1' has 6"),
        ({"accelerations": [8], "center_fractions": [0.5]}, "client 'T2': center_fraction 0.5"),
        ({"accelerations": [4], "center_fractions": [0.01]}, "client 'T2': .* no column at all"),
    ],
)
def test_acquisitions_that_do_not_fit(acquisition, message):
    t1, t2 = by_contrast("T1", "T2")
    own = {"accelerations": [2], "center_fractions": [0.2]} | acquisition
    config = federated_config(federated={"clients": [t1, t2 | {"acquisition": own}]})
    with pytest.raises(UserError, match=message):
        cohort_of(config)


def test_a_run_remembers_its_clients(tmp_path):
    cohort, run_dir = cohort_of(federated_config()), RunDir(tmp_path)
    with pytest.raises(UserError, match="no client has trained yet"):
        read_acquisitions(run_dir)
    write_clients(run_dir, cohort)
    entries = read_acquisitions(run_dir)
    assert tuple(entry.name for entry in entries) == cohort.names
    assert (entries[0].shape, entries[0].coils) == ((SIZE, SIZE), 1)
    assert entries[0].acquisition == cohort.first.acquisition
    assert read_clients(run_dir)[0]["weight"] == cohort.weights[0]


CONTRASTS = ("T1", "T2", "PD")


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """Three scans of each of six patients, who are named in the files only."""
    folder = tmp_path_factory.mktemp("patients")
    source = SyntheticSource(volumes=18, slices=1, size=16)
    for i, path in enumerate(make_dataset(folder, source)):
        with h5py.File(path, "r+") as file:
            file.attrs["patient_id"] = f"patient{i % 6}"
            file.attrs["acquisition"] = CONTRASTS[i % 3]
        path.rename(folder / f"{(i * 7) % 18:02d}.h5")
    return folder


def of_patients(folder, *, split, **federated):
    return federated_config(
        data={"source": "fastmri", "path": str(folder), "split": split}, federated=federated
    )


@pytest.mark.parametrize(
    "partition",
    [
        {"method": "even", "clients": 2},
        {"method": "dirichlet", "clients": 2, "by": "contrast", "concentration": 1.0},
    ],
    ids=lambda partition: partition["method"],
)
def test_a_patient_is_at_one_client_and_in_one_split(patients, partition):
    config = of_patients(
        patients, split={"valid_fraction": 0, "test_fraction": 0.4}, partition=partition
    )
    places = {}
    for client, dataset in cohort_of(config).members.items():
        for group, names in dataset.groups.items():
            for name in names:
                patient = dataset.source.labels[name]["subject"]
                assert places.setdefault(patient, (client, group)) == (client, group)
    assert len(places) == 6


@pytest.mark.parametrize("by", ["subject", "volume"])
def test_clients_that_share_a_patient_are_refused_unless_asked_for(patients, by):
    split = {"by": by, "valid_fraction": 0, "test_fraction": 0.4}
    clients = [{"name": "a", "volumes": ["0*"]}, {"name": "b", "volumes": ["1*"]}]
    config = of_patients(patients, split=split, clients=clients)
    if by == "volume":
        assert len(cohort_of(config).members) == 2
    else:
        with pytest.raises(UserError, match=r"subject 'patient\d' is in client 'a' .* client 'b'"):
            cohort_of(config)
