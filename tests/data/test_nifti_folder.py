"""Labelled NIfTI folders: nnU-Net's layout in its dialects, plain folders, and what is refused."""

import json
import os

import nibabel
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import LabeledSource, annotated, cavities
from jaxnas.data.layouts import make_nnunet
from jaxnas.data.nifti_folder import NiftiFolderSource
from jaxnas.data.organs import OrganSource
from jaxnas.data.survey import check_labeled
from tests.cli.conftest import Result as call
from tests.data.clear import assert_one_clear_sentence

NAMES = ("background", "liver", "kidney")
SHAPE, AFFINE = (8, 7, 3), np.diag([-1.0, -1.0, 5.0, 1.0])
IMAGE, LABELS = "imagesTr/case_2_0000.nii.gz", "labelsTr/case_2.nii.gz"


def save(path, voxels, dtype=np.uint8, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.asarray(voxels, dtype), affine), path)


def case(folder, name, places=("imagesTr", "labelsTr"), suffix="_0000"):
    rng = np.random.default_rng(len(name))
    save(folder / places[0] / f"{name}{suffix}.nii.gz", rng.integers(0, 500, SHAPE), np.int16)
    save(folder / places[1] / f"{name}.nii.gz", rng.integers(0, 3, SHAPE))


def describe(folder, **changes):
    content = {"channel_names": {"0": "MRI"}, "labels": dict(zip(NAMES, range(3)))} | changes
    (folder / "dataset.json").write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path):
    """Two cases in nnU-Net's layout."""
    path = tmp_path / "Dataset001_Belly"
    for name in ("case_1", "case_2"):
        case(path, name)
    describe(path)
    return path


def test_what_was_made_comes_back(tmp_path):
    made = OrganSource(patients=2, slices=4, size=(24, 20), seed=3)
    paths = make_nnunet(tmp_path, made)
    assert [path.name for path in paths] == ["case_001_0000.nii.gz", "case_002_0000.nii.gz"]
    source = NiftiFolderSource(tmp_path)
    assert isinstance(source, LabeledSource) and source.volumes == made.volumes
    assert source.labels == made.labels == NAMES and cavities(source) == ()
    assert annotated(source) == {"liver": 1, "kidney": 2}
    for i in range(2):
        found, want = source.read(i), made.read(i)
        np.testing.assert_array_equal(found.image, want.image)
        np.testing.assert_array_equal(found.labels, want.labels)
        assert found.spacing == pytest.approx(want.spacing) and (found.phase, found.group) == (
            "",
            None,
        )
    assert check_labeled("nifti_folder", tmp_path) == [] and source.remarks == ()


def test_organs_lie_within_the_belly():
    source = OrganSource(patients=3, slices=6, size=(48, 48), seed=1)
    for i in range(3):
        volume = source.read(i)
        assert set(np.unique(volume.labels)) == {0, 1, 2}
        assert volume.image[volume.labels > 0].min() > np.median(volume.image[:, :4])
        np.testing.assert_array_equal(volume.image, source.read(i).image)


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"labels": {"kidney": 2, "background": 0, "liver": 1}},
        {"labels": {"0": "background", "1": "liver", "2": "kidney"}, "modality": {"0": "MRI"}},
        {"labels": {"0": "Background", "2": "kidney", "1": "liver"}},
        {"labels": {"background": "0", "liver": "1", "kidney": "2"}},
    ],
)
def test_both_dialects_name_the_labels(folder, description):
    describe(folder, **description)
    assert NiftiFolderSource(folder).labels == NAMES


def test_the_decathlon_has_no_channel_in_its_names(tmp_path):
    for name in ("liver_1", "liver_0002"):
        case(tmp_path, name, suffix="")
    describe(tmp_path)
    (tmp_path / "imagesTr" / "._liver_1.nii.gz").write_bytes(b"a file of macOS")
    (tmp_path / "imagesTr" / "notes.npy").write_bytes(b"")
    source = NiftiFolderSource(tmp_path)
    assert [ref.patient for ref in source.volumes] == ["liver_0002", "liver_1"]
    (remark,) = source.remarks
    assert "1 of 3 entries left out: notes.npy" in remark


def test_plain_folders_need_names(tmp_path):
    case(tmp_path, "a", ("images", "labels"), "")
    with pytest.raises(UserError, match=r"dataset\.json: no such file.*data\.labels") as error:
        NiftiFolderSource(tmp_path)
    assert_one_clear_sentence(str(error.value), tmp_path)
    assert NiftiFolderSource(tmp_path, labels=NAMES).labels == NAMES
    with pytest.raises(UserError, match=r"has the label 2 .*expected 0 background, 1 liver only"):
        NiftiFolderSource(tmp_path, labels=NAMES[:2]).read(0)
    describe(tmp_path)
    assert NiftiFolderSource(tmp_path).labels == NAMES
    with pytest.raises(UserError, match="but the labels given are background, spleen; expected"):
        NiftiFolderSource(tmp_path, labels=("background", "spleen"))


def test_labels_are_turned_onto_their_image(folder):
    labels = np.asarray(nibabel.load(folder / LABELS).dataobj)
    want = NiftiFolderSource(folder).read(1).labels
    flipped = AFFINE @ np.array([[-1, 0, 0, 7], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    save(folder / LABELS, labels[::-1], affine=flipped)
    np.testing.assert_array_equal(NiftiFolderSource(folder).read(1).labels, want)


def test_several_folders_hold_every_case_once(folder, tmp_path):
    other = tmp_path / "other"
    case(other, "case_3")
    describe(other)
    assert len(NiftiFolderSource([folder, other]).volumes) == 3
    case(other, "case_1")
    with pytest.raises(UserError, match=r"is the case case_1, as .* is; expected every case once"):
        NiftiFolderSource([folder, other])
    describe(other, labels={"background": 0, "spleen": 1})
    with pytest.raises(UserError, match="has the labels background, spleen, but those of"):
        NiftiFolderSource([folder, other])


def remove(*names):
    def damage(folder):
        for name in names:
            (folder / name).unlink()

    return damage


def relabel(value, dtype=np.uint8):
    def damage(folder):
        labels = np.ones(SHAPE)
        labels[2, 3, 1] = value
        save(folder / LABELS, labels, dtype)

    return damage


def described(**changes):
    return lambda folder: describe(folder, **changes)


def emptied(folder):
    for path in folder.glob("*Tr/*"):
        path.unlink()


def truncated(folder):
    os.truncate(folder / LABELS, 40)


def reshaped(name, shape, affine=AFFINE):
    return lambda folder: save(folder / name, np.ones(shape), affine=affine)


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


def beside(folder):
    save(folder / "labelsTr/case_2.nii", np.ones(SHAPE))


def no_folder(folder):
    emptied(folder)
    for name in ("imagesTr", "labelsTr"):
        (folder / name).rmdir()


def half_a_layout(folder):
    emptied(folder)
    (folder / "labelsTr").rmdir()


# The damage, the file to name, and a part of the message.
BAD = {
    "no labels of an image": (remove(LABELS), "labelsTr", "no labels of 1 of 2 images (case_2)"),
    "no image of labels": (remove(IMAGE), "imagesTr", "no image of 1 of 2 label files (case_2)"),
    "no files": (emptied, "imagesTr", "holds no NIfTI file"),
    "no folders": (
        no_folder,
        "",
        "holds neither; expected a folder with imagesTr and labelsTr, or",
    ),
    "half a layout": (half_a_layout, "labelsTr", "no such folder, although its counterpart is"),
    "no description": (remove("dataset.json"), "dataset.json", "nobody says what the labels are"),
    "broken description": (write("dataset.json", '{"labels": '), "dataset.json", "not valid JSON"),
    "a list": (write("dataset.json", "[1]"), "dataset.json", "holds a list; expected an object"),
    "no label names": (described(labels={}), "dataset.json", "has a dict for labels; expected {"),
    "null labels": (described(labels=None), "dataset.json", "has nothing for labels"),
    "a gap": (
        described(labels={"background": 0, "liver": 1, "kidney": 3}),
        "dataset.json",
        "has labels 0, 1, 3; expected 0 to 2",
    ),
    "regions": (
        described(labels={"background": 0, "whole": [1, 2], "core": 2}),
        "dataset.json",
        "has regions of several labels ('whole')",
    ),
    "an ignore label": (
        described(labels={"background": 0, "liver": 1, "ignore": 2}),
        "dataset.json",
        "has an ignore label ('ignore')",
    ),
    "no background": (
        described(labels={"liver": 0, "kidney": 1}),
        "dataset.json",
        "has labels liver, kidney; expected background first",
    ),
    "a half label": (
        described(labels={"background": 0, "liver": 1.5}),
        "dataset.json",
        "has 1.5 for the label 'liver'",
    ),
    "a label called mean": (
        described(labels={"background": 0, "mean": 1}),
        "dataset.json",
        "has a label called 'mean'",
    ),
    "two names": (
        described(labels={"0": "background", "1": "liver", "2": "liver"}),
        "dataset.json",
        "has labels 0, 2; expected 0 to 2, each with one name",
    ),
    "channels": (
        described(channel_names={"0": "T1", "1": "T2"}),
        "dataset.json",
        "has 2 channels (T1, T2); expected one",
    ),
    "a second channel": (
        reshaped("imagesTr/case_2_0001.nii.gz", SHAPE),
        "imagesTr/case_2_0001.nii.gz",
        "is channel 0001 of the case case_2; expected one channel",
    ),
    "four axes": (reshaped(IMAGE, (*SHAPE, 2)), IMAGE, "has four axes, (2, 3, 7, 8)"),
    "two files": (beside, "labelsTr/case_2.nii.gz", "beside case_2.nii; expected one file"),
    "another shape": (reshaped(LABELS, (8, 7, 2)), LABELS, "has shape (2, 7, 8) for an image of"),
    "another spacing": (
        reshaped(LABELS, SHAPE, np.diag([-1.0, -2.0, 5.0, 1.0])),
        LABELS,
        "compared with",
    ),
    "another place": (
        reshaped(LABELS, SHAPE, AFFINE + np.eye(4, k=3) * 9),
        LABELS,
        "lies 9 mm away, compared with",
    ),
    "a label without a name": (
        relabel(7),
        LABELS,
        "has the label 7 (1 such voxels); expected 0 background, 1 liver, 2 kidney only",
    ),
    "a negative label": (relabel(-1, np.int16), LABELS, "has the label -1 (1 such voxels)"),
    "float labels": (relabel(0.5, np.float32), LABELS, "has the label 0.5 (1 such voxels)"),
    "damaged labels": (truncated, LABELS, "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_folders_are_refused_in_one_sentence(folder, name):
    damage, place, message = BAD[name]
    damage(folder)
    with pytest.raises(UserError) as error:
        source = NiftiFolderSource(folder)
        [source.read(i) for i in range(len(source.volumes))]
    assert message in str(error.value)
    assert_one_clear_sentence(str(error.value), folder / place)
    checked = call("data", "check", folder, "--source", "nifti_folder")
    assert checked.code == 2 and message in checked.err and "Traceback" not in checked.err


def test_check_and_info(folder, tmp_path):
    arguments = (folder, "--source", "nifti_folder")
    checked = call("data", "check", *arguments)
    assert checked.code == 0 and "2 patients, 2 labelled volumes, no problem" in checked.out
    shown = call("data", "info", *arguments)
    assert shown.code == 0 and "liver" in shown.out and "phase" not in shown.out
    rows = json.loads(call("data", "info", *arguments, "--json").out)
    assert [row["name"] for row in rows] == ["case_1", "case_2"]
    assert [*rows[0]["millilitres"]] == ["liver", "kidney"]
    case(tmp_path / "plain", "a", ("images", "labels"), "")
    arguments = (tmp_path / "plain", "--source", "nifti_folder")
    assert "--labels" in call("data", "check", *arguments).err
    checked = call("data", "check", *arguments, "--labels", "background, liver,kidney")
    assert checked.code == 0, checked.err
    checked = call("data", "check", *arguments, "--labels", "liver,kidney")
    assert checked.code == 2 and "expected background first" in checked.err
