"""Bad ACDC data: one sentence that names the patient or the file."""

import os

import nibabel
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.acdc import AcdcSource
from jaxnas.data.nifti import write_labels
from jaxnas.data.survey import check_labeled
from tests.data.acdc_files import INFO, SHAPE, random_image, random_labels, save, write_patient
from tests.data.clear import assert_one_clear_sentence

ES_IMAGE, ES_LABELS = "patient001_frame04.nii.gz", "patient001_frame04_gt.nii.gz"


def remove(name):
    return lambda path: (path / name).unlink()


def truncate(name, part):
    def damage(path):
        os.truncate(path / name, int((path / name).stat().st_size * part))

    return damage


def write(name, text):
    return lambda path: (path / name).write_text(text)


def relabel(value, dtype=np.uint8):
    def damage(path):
        labels = random_labels(104).astype(dtype)
        labels[3, 4, 1] = value
        save(path / ES_LABELS, labels, dtype)

    return damage


def replace(name, shape, dtype=np.int16):
    return lambda path: save(path / name, np.zeros(shape), dtype)


def spoil_pixels(path):
    image = random_image(4).astype(np.float32)
    image[0, 0, 0] = np.nan
    save(path / ES_IMAGE, image, np.float32)


def forget_spacing(path):
    image = nibabel.load(path / ES_IMAGE)
    image = nibabel.Nifti1Image(np.asanyarray(image.dataobj), None)
    image.header["pixdim"][2] = np.nan
    nibabel.save(image, path / ES_IMAGE)


# What is done to the patient, the file to name ("" for the folder), and a part of the message.
CASES = {
    "no Info.cfg": (remove("Info.cfg"), "Info.cfg", "no such file"),
    "binary Info.cfg": (
        lambda p: (p / "Info.cfg").write_bytes(b"\xff\xfe"),
        "Info.cfg",
        "no line for ED",
    ),
    "no ED": (write("Info.cfg", "ES: 4\n"), "Info.cfg", "no line for ED"),
    "no ES": (write("Info.cfg", "ED: 1\nGroup: HCM\n"), "Info.cfg", "no line for ES"),
    "ED is text": (write("Info.cfg", "ED: one\nES: 4\n"), "Info.cfg", "'one' for ED"),
    "ED is 0": (write("Info.cfg", "ED: 0\nES: 4\n"), "Info.cfg", "'0' for ED"),
    "ED is ES": (write("Info.cfg", "ED: 4\nES: 4\n"), "Info.cfg", "both frame 4"),
    "no ES image": (remove(ES_IMAGE), "", "no image of ES 4"),
    "no ES labels": (remove(ES_LABELS), "", "ES has no labels"),
    "ES elsewhere": (write("Info.cfg", INFO.replace("ES: 4", "ES: 5")), "", "ES has no labels"),
    "label 4": (relabel(4), ES_LABELS, "the label 4"),
    "label -1": (relabel(-1, np.int16), ES_LABELS, "the label -1"),
    "label 1.5": (relabel(1.5, np.float32), ES_LABELS, "the label 1.5"),
    "label 1.0010001": (relabel(1.0010001, np.float64), ES_LABELS, "the label 1.0010001"),
    "label 3.9999": (relabel(3.9999, np.float32), ES_LABELS, "the label 4"),
    "fewer slices": (replace(ES_LABELS, (13, 10, 2)), ES_LABELS, "(2, 10, 13) for an image"),
    "turned labels": (replace(ES_LABELS, (10, 13, 3)), ES_LABELS, "(3, 13, 10) for an image"),
    "a cine as a frame": (replace(ES_IMAGE, (*SHAPE, 5)), ES_IMAGE, "the axes (T, Z, H, W)"),
    "five axes": (replace(ES_IMAGE, (*SHAPE, 2, 3)), ES_IMAGE, "expected (X, Y, Z)"),
    "complex": (replace(ES_IMAGE, SHAPE, np.complex64), ES_IMAGE, "expected real numbers"),
    "NaN": (spoil_pixels, ES_IMAGE, "NaN or infinity"),
    "no spacing": (forget_spacing, ES_IMAGE, "voxel spacing"),
    "empty file": (truncate(ES_IMAGE, 0), ES_IMAGE, "cannot be read"),
    "half a file": (truncate(ES_IMAGE, 0.5), ES_IMAGE, "cannot be read"),
    "half the labels": (truncate(ES_LABELS, 0.5), ES_LABELS, "cannot be read"),
    "no NIfTI": (write(ES_IMAGE, "<html>not found</html>"), ES_IMAGE, "cannot be read"),
    "a frame as a cine": (
        replace("patient001_4d_gt.nii.gz", SHAPE),
        "patient001_4d_gt.nii.gz",
        "expected four axes",
    ),
}


def read_all(path):
    source = AcdcSource(path)
    for i in range(len(source.volumes)):
        source.read(i)


@pytest.mark.parametrize("case", CASES)
def test_one_clear_sentence(tmp_path, case):
    damage, name, part = CASES[case]
    path = write_patient(tmp_path, 1)
    damage(path)
    with pytest.raises(UserError) as error:
        read_all(tmp_path)
    assert_one_clear_sentence(str(error.value), path / name if name else path)
    assert part in str(error.value)


def test_check_names_every_bad_patient(tmp_path):
    paths = [write_patient(tmp_path / "training", number) for number in range(1, 5)]
    assert check_labeled("acdc", tmp_path) == []
    (paths[0] / "Info.cfg").unlink()
    for number in (1, 4):
        path = paths[2] / f"patient003_frame{number:02d}_gt.nii.gz"
        save(path, random_labels(100 + number) + 2, np.uint8)
    problems = check_labeled("acdc", [tmp_path, tmp_path / "nowhere"])
    assert [p.path for p in problems] == [paths[0], paths[2], paths[2], tmp_path / "nowhere"]
    assert "frame01_gt" in problems[1].message and "frame04_gt" in problems[2].message


@pytest.mark.parametrize(
    ("names", "message"),
    [(["nowhere"], "no such folder"), (["empty"], "no folder patientNNN"), ([], "no data path")],
)
def test_nothing_to_read(tmp_path, names, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        AcdcSource([tmp_path / name for name in names])


def test_a_patient_twice(tmp_path):
    for folder in ("a", "b"):
        write_patient(tmp_path / folder, 1)
    with pytest.raises(UserError, match="expected every patient once"):
        AcdcSource([tmp_path / "a", tmp_path / "b"])


def test_labels_need_a_nifti_name(tmp_path):
    like = save(tmp_path / "i.nii.gz", random_image(0), np.int16)
    with pytest.raises(UserError, match=r"ends with \.nii"):
        write_labels(tmp_path / "o.png", np.zeros(SHAPE[::-1]), like=like)
