"""Sunnybrook: slices become volumes of a subject and a phase, and the cavity becomes label 3."""

import h5py
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import LabeledSource, annotated, patient_names
from jaxnas.data.sunnybrook import SunnybrookSource
from jaxnas.data.survey import check_labeled
from tests.data.clear import assert_one_clear_sentence

# Rows as (subject, number in the file name, rows of the cavity): two levels of two phases, stored
# in no order; the second subject lacks the smaller cavity of the second level.
ROWS = [
    ("SC-HF-I-04", 40, 6),
    ("SC-HF-I-04", 7, 3),
    ("SC-N-02", 46, 2),
    ("SC-HF-I-04", 27, 2),
    ("SC-N-02", 60, 5),
    ("SC-N-02", 80, 4),
    ("SC-HF-I-04", 20, 7),
]


def write(path, rows=ROWS, **replaced):
    image = np.random.default_rng(0).integers(0, 256, (len(rows), 9, 8))
    label = np.zeros(image.shape, np.uint8)
    for i, (_, _, height) in enumerate(rows):
        label[i, 1 : 1 + height, 2:5] = 1
    content = {
        "image": image.astype(np.uint8),
        "label": label,
        "subject": [subject for subject, _, _ in rows],
        "file": [f"{subject}-IM-0001-{number:04d}.dcm.png" for subject, number, _ in rows],
    } | replaced
    with h5py.File(path, "w") as file:
        for name, values in content.items():
            if values is not None:
                file[name] = values
    return content


def test_volumes(tmp_path):
    content = write(tmp_path / "a.h5")
    source = SunnybrookSource(tmp_path)
    assert isinstance(source, LabeledSource) and annotated(source) == {"lv": 3}
    assert [(ref.name, ref.phase, ref.shape, ref.group) for ref in source.volumes] == [
        ("SC-HF-I-04_ED", "ED", (2, 9, 8), "HF-I"),
        ("SC-HF-I-04_ES", "ES", (2, 9, 8), "HF-I"),
        ("SC-N-02_ED", "ED", (2, 9, 8), "N"),
        ("SC-N-02_ES", "ES", (1, 9, 8), "N"),
    ]
    assert patient_names(source) == ("SC-HF-I-04", "SC-N-02")
    for i, rows in enumerate([(6, 0), (1, 3), (4, 5), (2,)]):  # by level
        volume = source.read(i)
        np.testing.assert_array_equal(volume.image, content["image"][list(rows)])
        np.testing.assert_array_equal(volume.labels, 3 * content["label"][list(rows)])
        assert volume.image.dtype == np.float32 and volume.labels.dtype == np.uint8
        assert volume.name == source.volumes[i].name and volume.affine is None


def test_phases_of_other_numbers_are_frames(tmp_path):
    write(tmp_path / "a.h5", [*ROWS, ("SC-N-02", 43, 1)])
    phases = [ref.phase for ref in SunnybrookSource(tmp_path).volumes if ref.patient == "SC-N-02"]
    assert phases == ["frame20", "frame06", "frame03"]


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"label": None}, "no dataset 'label'"),
        ({"subject": ["SC-N-02"]}, "7 images, 1 subjects and 7 files"),
        ({"file": ["slice"] * 7}, "a slice from 'slice'"),
        ({"label": np.full((7, 9, 8), 2, np.uint8)}, "has the label 2 in SC-HF-I-04"),
        ({"label": np.zeros((7, 8, 9), np.uint8)}, "images of shape (7, 9, 8) and labels of"),
    ],
)
def test_bad_files(tmp_path, replaced, message):
    write(tmp_path / "a.h5", **replaced)
    problems = check_labeled("sunnybrook", tmp_path)
    assert problems[0].path == tmp_path / "a.h5" and message in problems[0].message
    assert_one_clear_sentence(problems[0].message, tmp_path / "a.h5")


def test_a_subject_in_two_files(tmp_path):
    for name in ("a.h5", "b.h5"):
        write(tmp_path / name)
    with pytest.raises(UserError, match="every subject in one file"):
        SunnybrookSource(tmp_path)
