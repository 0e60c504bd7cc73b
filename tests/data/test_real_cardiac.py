"""The readers on real cardiac MRI."""

from collections import Counter

import nibabel
import numpy as np
import pytest

from jaxnas.data.annotation import patient_names
from jaxnas.data.folds import FOLDS, SCHEMES, split_fold
from jaxnas.data.nifti import write_labels
from jaxnas.data.prepare import Preparation
from jaxnas.data.readers import open_labeled
from jaxnas.data.survey import check_labeled

pytestmark = pytest.mark.real_data
PATIENT = "patient022"


@pytest.fixture(scope="module")
def acdc(real_data):
    return open_labeled("acdc", real_data / "acdc")


def dice(a, b, k):
    return 2 * np.count_nonzero((a == k) & (b == k)) / (np.sum(a == k) + np.sum(b == k))


def test_acdc(acdc):
    assert len(patient_names(acdc)) == 40 and len(acdc.volumes) == 80
    assert Counter(ref.phase for ref in acdc.volumes) == {"ED": 40, "ES": 40}
    assert set(Counter(ref.group for ref in acdc.volumes).values()) == {16}
    for i in range(0, 80, 9):
        volume = acdc.read(i)
        assert volume.image.shape == volume.labels.shape == acdc.volumes[i].shape
        assert volume.spacing == (10.0, 1.5, 1.5)
        assert set(np.unique(volume.labels)) == {0, 1, 2, 3}


def test_acdc_ventricles_contract(acdc):
    """Labels are what they are called: cavities shrink, and the left one lies in the muscle."""
    for i in range(0, 80, 10):
        ed, es = acdc.read(i), acdc.read(i + 1)
        assert (ed.phase, es.phase) == ("ED", "ES") and ed.patient == es.patient
        for label in (1, 3):
            assert np.sum(es.labels == label) < 1.05 * np.sum(ed.labels == label)
        middle = ed.labels[len(ed.labels) // 2]
        rows, columns = np.nonzero(middle == 3)
        wall = np.nonzero(middle == 2)
        assert wall[0].min() < rows.min() and rows.max() < wall[0].max()
        assert wall[1].min() < columns.min() and columns.max() < wall[1].max()


def test_a_real_patient_passes_the_check(real_data):
    assert check_labeled("acdc", real_data / "acdc" / PATIENT) == []


def test_acdc_is_read_as_it_is_stored(acdc, real_data):
    for i in range(0, 80, 7):
        volume = acdc.read(i)
        file = real_data / "acdc" / volume.patient / f"{volume.name}.nii.gz"
        image = nibabel.load(file)
        truth = nibabel.load(file.with_name(f"{volume.name}_gt.nii.gz"))
        np.testing.assert_array_equal(volume.image, np.asanyarray(image.dataobj).T)
        np.testing.assert_array_equal(volume.labels, np.asanyarray(truth.dataobj).T)
        np.testing.assert_array_equal(volume.affine, image.affine)
        assert volume.spacing == tuple(map(float, reversed(image.header.get_zooms()[:3])))
    assert acdc.remarks == ()


def test_real_labels_written_back_are_the_file(real_data, tmp_path):
    folder = real_data / "acdc" / PATIENT
    source = open_labeled("acdc", folder)
    name = source.volumes[1].name
    labels = source.read(1).labels
    path = write_labels(tmp_path / "o.nii.gz", labels, like=folder / f"{name}.nii.gz")
    written, original = nibabel.load(path), nibabel.load(folder / f"{name}_gt.nii.gz")
    np.testing.assert_array_equal(written.dataobj, original.dataobj)
    np.testing.assert_array_equal(written.affine, original.affine)


@pytest.mark.parametrize("spacing", [1.5, 1.37, 1.8])
def test_real_labels_survive_the_round_trip(acdc, spacing):
    preparation = Preparation(spacing=spacing, size=(192, 192))
    for i in range(0, 80, 13):
        volume = acdc.read(i)
        image, labels = preparation.forward(volume)
        assert image.shape == labels.shape == (len(volume.image), 192, 192)
        back = preparation.inverse(np.eye(4, dtype=np.float32)[labels], volume)
        for k in (1, 2, 3):
            assert dice(back, volume.labels, k) > 0.95


def test_folds_of_real_patients(acdc):
    patients = patient_names(acdc)
    for scheme in SCHEMES:
        # The numbers of these patients leave the remainders 1 and 2 only.
        for fold in range(FOLDS) if scheme == "nnunet" else (1, 2):
            found = split_fold(patients, scheme=scheme, fold=fold)
            assert set(found.train) | set(found.held) == set(patients)


def test_sunnybrook(real_data):
    source = open_labeled("sunnybrook", real_data / "sunnybrook")
    assert len(patient_names(source)) == 12 and len(source.volumes) == 24
    assert sum(ref.shape[0] for ref in source.volumes) == 222
    assert Counter(ref.phase for ref in source.volumes) == {"ED": 12, "ES": 12}
    for i in range(0, 24, 6):
        ed, es = source.read(i), source.read(i + 1)
        assert set(np.unique(ed.labels)) == {0, 3} and ed.image.max() > 100
        assert np.mean(ed.labels == 3) > np.mean(es.labels == 3)
