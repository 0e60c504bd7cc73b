"""Labels of volumes: from the files, through every view, and by patterns over names."""

import h5py
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.source import SliceRef, labels_of
from jaxnas.data.splits import volume_labels
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.views import Cached, Calibrated, CoilCombined, Cropped, Padded

HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<acquisitionSystemInformation><systemVendor>SIEMENS</systemVendor><systemModel>{}</systemModel>
<systemFieldStrength_T>{}</systemFieldStrength_T></acquisitionSystemInformation>
<encoding><encodedSpace><matrixSize><x>17</x><y>14</y><z>1</z></matrixSize></encodedSpace>
<reconSpace><matrixSize><x>17</x><y>14</y><z>1</z></matrixSize></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>13</maximum><center>7</center>
</kspace_encoding_step_1></encodingLimits></encoding></ismrmrdHeader>"""


class Table:
    """Volumes by name, without labels."""

    def __init__(self, *names):
        self.slices = tuple(SliceRef(name, i, (4, 4), 1) for name in names for i in range(2))


def write(path, header=None, **attrs):
    with h5py.File(path, "w") as file:
        file["kspace"] = np.ones((1, 17, 14), np.complex64)
        file.attrs.update(attrs)
        if header is not None:
            file["ismrmrd_header"] = header


def test_labels_of_fastmri_files(tmp_path):
    write(tmp_path / "a.h5", HEADER.format("Skyra", 2.89362), acquisition="AXT2", patient_id="p1")
    write(tmp_path / "b.h5", HEADER.format("Skyra", 2.8936), acquisition="AXT1", patient_id="p1")
    write(tmp_path / "c.h5", HEADER.format("Aera", 1.494), acquisition="AXT2", patient_id="p2")
    source = FastMRISource(tmp_path)
    by = {label: list(volume_labels(source, label).values()) for label in labels_of(source)["a.h5"]}
    assert by == {
        "contrast": ["AXT2", "AXT1", "AXT2"],
        "subject": ["p1", "p1", "p2"],
        "scanner": ["SIEMENS Skyra 2.9T", "SIEMENS Skyra 2.9T", "SIEMENS Aera 1.5T"],
    }
    assert list(volume_labels(source, "contrast")) == ["a.h5", "b.h5", "c.h5"]


def test_a_volume_without_the_label_is_named(tmp_path):
    write(tmp_path / "a.h5", acquisition="AXT2")
    write(tmp_path / "b.h5")
    with pytest.raises(UserError, match=r"volume 'b.h5' has no label 'contrast'; expected"):
        volume_labels(FastMRISource(tmp_path), "contrast")


def test_synthetic_volumes():
    source = SyntheticSource(volumes=5, slices=1, size=16)
    contrasts = list(volume_labels(source, "contrast").values())
    assert contrasts == ["T1", "T2", "FLAIR", "PD", "T1"]
    assert len(set(volume_labels(source, "subject").values())) == 5


def test_views_pass_labels_on():
    source = SyntheticSource(volumes=2, slices=1, size=16, coils=2)
    views = [
        Cropped(source, 8),
        Padded(source, 20),
        Calibrated(source),
        CoilCombined(source),
        Cached(source, max_bytes=1),
        Cropped(Padded(CoilCombined(Calibrated(source)), 20), 18),
    ]
    for view in views:
        assert labels_of(view) == source.labels
        assert list(volume_labels(view, "contrast").values()) == ["T1", "T2"]


def test_a_pattern_over_names():
    source = Table("site1_a", "site2_b", "site1_c")
    assert volume_labels(source, r"(site\d)") == {
        "site1_a": "site1",
        "site2_b": "site2",
        "site1_c": "site1",
    }
    letters = volume_labels(source, r"_(\w)$")
    assert list(letters.values()) == ["a", "b", "c"], "searched for, not only at the start"


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (r"site(1)", r"volume 'site2_b' does not match 'site\(1\)'; expected a value"),
        (r"site2_b|(site1)", "volume 'site2_b' does not match"),
        ("contrast", r"'contrast' is no label of these volumes \(they have: none\)"),
        ("site", r"a pattern of 0 groups; expected a label or a pattern with one group"),
        (r"(s)(i)", "a pattern of 2 groups"),
        (r"(site", r"'\(site' is not a regular expression"),
    ],
)
def test_wrong_patterns(by, message):
    with pytest.raises(UserError, match=message) as caught:
        volume_labels(Table("site1_a", "site2_b"), by)
    assert "\n" not in str(caught.value)


def test_an_unknown_label_lists_the_known_ones():
    source = SyntheticSource(volumes=1, slices=1, size=16)
    with pytest.raises(UserError, match=r"'scanner' is no label .*they have: contrast, subject"):
        volume_labels(source, "scanner")
