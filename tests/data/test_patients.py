"""Which folders are patients, and what is said of those that are not."""

import os

import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import patient_names
from jaxnas.data.patients import left_out_patients
from jaxnas.data.readers import open_labeled
from jaxnas.data.registry import LABELED_READERS
from jaxnas.data.survey import check_labeled
from tests.data.acdc_files import write_patient


def folder_called(name):
    return lambda root: write_patient(root, 9).rename(root / name)


def empty_folder(name):
    return lambda root: (root / name).mkdir()


def link(name):
    return lambda root: (root / name).symlink_to("../.git/annex/objects/not-fetched")


STRANGE = {
    "patient_003": folder_called("patient_003"),
    "Patient004": folder_called("Patient004"),
    "patient005a": folder_called("patient005a"),
    "A0S9V9": folder_called("A0S9V9"),
    "Patient 7": folder_called("Patient 7"),
    "patient_008": empty_folder("patient_008"),
    "patient006": link("patient006"),
    "sub-01": link("sub-01"),
}
HARMLESS = {
    "MANDATORY_CITATION.md": lambda root: (root / "MANDATORY_CITATION.md").write_text("cite"),
    "patients.csv": lambda root: (root / "patients.csv").write_text("1,2"),
    ".DS_Store": lambda root: (root / ".DS_Store").write_bytes(b"\0\0"),
    "._patient001": lambda root: (root / "._patient001").write_bytes(b"\0\5\26\7"),
    "scripts": empty_folder("scripts"),
}


@pytest.mark.parametrize("place", ["", "training", "database/testing"])
@pytest.mark.parametrize("name", STRANGE)
def test_what_is_left_out_is_named_and_counted(tmp_path, capsys, place, name):
    for number in (1, 2):
        write_patient(tmp_path / place, number)
    STRANGE[name](tmp_path / place)
    [problem] = check_labeled("acdc", tmp_path)
    assert problem.path == tmp_path / place / name and str(problem.path) in problem.message
    assert "left out" in problem.message and "\n" not in problem.message
    assert capsys.readouterr().err == "", "said once"
    source = open_labeled("acdc", tmp_path)
    assert patient_names(source) == ("patient001", "patient002")
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("jaxnas: warning: ") and "1 of 3 entries left out" in line
    assert name in line and str(tmp_path) in line


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_no_patient_is_no_matter(tmp_path, capsys, name):
    write_patient(tmp_path, 1)
    HARMLESS[name](tmp_path)
    assert check_labeled("acdc", tmp_path) == [] and left_out_patients(tmp_path) == []
    open_labeled("acdc", tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("names", [["A0S9V9"], ["patient_001", "Patient 7", "patient006"]])
def test_nobody_is_called_as_expected(tmp_path, names):
    for name in names:
        STRANGE.get(name, folder_called(name))(tmp_path)
    with pytest.raises(UserError, match=rf"\({len(names)} not so called: ") as error:
        open_labeled("acdc", tmp_path)
    assert all(name in str(error.value) for name in names)


def test_a_patient_named_by_itself_may_have_any_name(tmp_path, capsys):
    path = write_patient(tmp_path, 1)
    for file in list(path.iterdir()):
        file.rename(path / file.name.replace("patient001", "A0S9V9"))
    source = open_labeled("acdc", path.rename(tmp_path / "A0S9V9"))
    assert patient_names(source) == ("A0S9V9",) and capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", LABELED_READERS)
def test_a_link_to_nothing_is_a_problem_of_every_data_set(tmp_path, kind):
    link("x.h5" if kind == "sunnybrook" else "patient001")(tmp_path)
    assert check_labeled(kind, tmp_path) != []


@pytest.mark.parametrize("suffix", ["_frame01", "_frame04_gt", "_4d_gt"])
def test_a_file_whose_content_was_not_fetched(tmp_path, suffix):
    path = write_patient(tmp_path, 1)
    file = path / f"patient001{suffix}.nii.gz"
    file.unlink(missing_ok=True)
    file.symlink_to("../.git/annex/objects/not-fetched.nii.gz")
    with pytest.raises(UserError, match=f"{file}: no such file"):
        open_labeled("acdc", tmp_path)


def test_junk_of_an_archive_is_ignored(tmp_path):
    path = write_patient(tmp_path, 1)
    for file in list(path.iterdir()):
        (path / f"._{file.name}").write_bytes(b"\0\5\26\7junk")
    assert check_labeled("acdc", tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("mode", [0o000, 0o111, 0o444])
def test_a_patient_that_cannot_be_read_is_named(tmp_path, mode):
    write_patient(tmp_path, 1)
    path = write_patient(tmp_path, 2)
    path.chmod(mode)
    [problem] = check_labeled("acdc", tmp_path)
    path.chmod(0o755)
    assert str(path) in problem.message and "Permission denied" in problem.message
