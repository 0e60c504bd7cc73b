"""`jaxnas data` on hearts: what is absent is said, on the command line and before a training."""

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.prepare import Preparation
from jaxnas.data.readers import open_labeled
from jaxnas.segmentation.dataset import prepare_slices
from tests.data.acdc_files import save, write_patient


def relabel(folder, number, change):
    for t in (1, 4):
        path = folder / f"patient{number:03d}_frame{t:02d}_gt.nii.gz"
        labels = np.resize(np.arange(4), (13, 10, 3))
        save(path, change(labels), np.uint8)


@pytest.mark.parametrize("name", ["rv", "myo", "lv"])
def test_an_absent_class_is_counted(tmp_path, call, capsys, name):
    number = ("background", "rv", "myo", "lv").index(name)
    for patient in (1, 2, 3):
        folder = write_patient(tmp_path, patient)
        if patient < 3:
            relabel(folder, patient, lambda labels: np.where(labels == number, 0, labels))
    checked = call("data", "check", tmp_path, "--source", "acdc")
    assert checked.code == 0 and f"no pixel is {name} in 4 of 6 volumes" in checked.err
    prepare_slices(open_labeled("acdc", tmp_path), range(6), Preparation(size=(16, 16)))
    assert f"no pixel is {name} in 4 of 6 volumes" in capsys.readouterr().err


def test_labels_of_background_alone_are_refused(tmp_path, call):
    relabel(write_patient(tmp_path, 1), 1, np.zeros_like)
    checked = call("data", "check", tmp_path, "--source", "acdc")
    assert checked.code == 2 and "all 2 label maps are background only" in checked.err
    with pytest.raises(UserError, match="background only"):
        prepare_slices(open_labeled("acdc", tmp_path), range(2), Preparation(size=(16, 16)))


def test_check_counts_volumes_without_labels(tmp_path, call):
    write_patient(tmp_path, 1)
    write_patient(tmp_path, 101, labelled=())
    checked = call("data", "check", tmp_path, "--source", "acdc")
    assert "2 patients, 2 labelled volumes, 2 volumes without labels, no problem" in checked.out


def test_check_says_what_is_odd_and_may_be_meant(tmp_path, call):
    folder = write_patient(tmp_path, 1)
    save(folder / "patient001_frame04.nii.gz", np.full((13, 10, 3), 7), np.int16)
    checked = call("data", "check", tmp_path, "--source", "acdc")
    assert checked.code == 0 and "1 patients, 2 labelled volumes, 1 warning(s)" in checked.out
    assert "patient001_frame04 is 7 everywhere" in checked.err
