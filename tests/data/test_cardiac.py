"""Labelled data sets by name: opened, written in the ACDC layout, checked and described."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.acdc import AcdcSource, read_info
from jaxnas.data.annotation import annotated
from jaxnas.data.heart import HeartSource
from jaxnas.data.layouts import make_acdc
from jaxnas.data.readers import HeartSettings, open_labeled
from jaxnas.data.survey import check_labeled, summarise_labeled

SMALL = HeartSettings(patients=2, slices=3, size=(24, 21), frames=6)


@pytest.fixture(scope="module", params=["ed_es", "all"])
def made(request, tmp_path_factory):
    """The hearts, and the folder that they were written to."""
    source = open_labeled("heart", None, phases=request.param, heart=SMALL, seed=2)
    folder = tmp_path_factory.mktemp("acdc") / "training"
    assert make_acdc(folder, source) == [folder / "patient001", folder / "patient002"]
    return source, folder.parent


def test_what_is_written_is_what_is_read(made):
    source, folder = made
    found = AcdcSource(folder)
    assert found.volumes == source.volumes
    for i in range(len(source.volumes)):
        want, volume = source.read(i), found.read(i)
        np.testing.assert_array_equal(volume.image, want.image)
        np.testing.assert_array_equal(volume.labels, want.labels)
        np.testing.assert_allclose(volume.affine, want.affine, rtol=1e-5, atol=1e-5)
        assert volume.spacing == pytest.approx(want.spacing, rel=1e-5)
        assert volume[4:] == want[4:]


def test_the_files_are_those_of_acdc(made):
    source, folder = made
    path = folder / "training" / "patient002"
    es = source.end_systole(1) + 1
    assert read_info(path) == {"ED": "1", "ES": str(es), "Group": "MINF", "NbFrame": "6"}
    labelled = [1, es] if len(source.volumes) == 4 else range(1, 7)
    frames = [f"patient002_frame{t:02d}{part}.nii.gz" for t in labelled for part in ("", "_gt")]
    names = {p.name for p in path.iterdir()}
    assert names == {"Info.cfg", "patient002_4d.nii.gz", *frames}
    image = nibabel.load(path / "patient002_4d.nii.gz")
    cine = [source.frame(1, t).image for t in range(6)]
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).T, cine)
    assert image.shape == (21, 24, 3, 6) and image.get_data_dtype() == np.int16
    assert image.header.get_xyzt_units() == ("mm", "msec")
    assert image.header.get_zooms()[3] == pytest.approx(1000 / 6)


def test_check_and_info_of_what_was_made(made):
    source, folder = made
    assert check_labeled("acdc", folder) == []
    rows = summarise_labeled(open_labeled("acdc", folder))
    assert [row.name for row in rows] == [ref.name for ref in source.volumes]
    volume = source.read(1)
    assert rows[1].shape == volume.image.shape and rows[1].group == volume.group
    assert rows[1].spacing == pytest.approx(volume.spacing, rel=1e-5)
    for k, name in enumerate(("rv", "myo", "lv"), 1):
        want = np.count_nonzero(volume.labels == k) * np.prod(volume.spacing) / 1000
        assert rows[1].millilitres[name] == pytest.approx(want, rel=1e-4)


def test_open_by_name():
    source = open_labeled("heart", None, heart=SMALL, seed=1, phases="ed_es")
    assert isinstance(source, HeartSource) and source.seed == 1 and len(source.volumes) == 4
    assert annotated(source) == {"rv": 1, "myo": 2, "lv": 3}
    every = open_labeled("heart", None, heart=replace(SMALL, patients=1))
    assert every.volumes[0].phase == "ED" and len(every.volumes) == 6


def test_phases_of_acdc(made):
    _, folder = made
    assert len(open_labeled("acdc", folder, phases="ed_es").volumes) == 4


@pytest.mark.parametrize(
    ("kind", "path", "message"),
    [
        ("brats", "x", "no labelled data set is called 'brats'; expected one of heart, acdc"),
        ("acdc", None, "no path is given for the data set 'acdc'"),
        ("sunnybrook", (), "no path is given"),
        ("acdc", "nowhere", "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_opened(kind, path, message):
    with pytest.raises(UserError, match=message):
        open_labeled(kind, path)
