"""Splits by volume: disjoint, complete, reproducible, and clear when they cannot be made.

Labels of volumes: from the files, through every view, and by patterns over names.
"""

import h5py
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.source import SliceRef, labels_of
from jaxnas.data.splits import halve, slice_indices, split_volumes, volume_labels
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.views import Cached, Calibrated, CoilCombined, Cropped, Padded

NAMES = [f"s{i}_{view}.h5" for i in (1, 2, 3, 4, 5) for view in ("axial", "coronal")]


def test_patterns():
    groups = {"train": ["s[1-3]_*", "s4_axial*"], "test": ["s5_*"]}
    split = split_volumes(NAMES, groups=groups)
    assert split["test"] == ("s5_axial.h5", "s5_coronal.h5")
    assert len(split["train"]) == 7 and "s4_coronal.h5" not in split["train"]


@pytest.mark.parametrize("seed", [0, 1])
def test_fractions(seed):
    groups = {"train": 0.6, "valid": 0.2, "test": 0.2}
    split = split_volumes(NAMES, groups=groups, seed=seed)
    assert [len(split[g]) for g in groups] == [6, 2, 2]
    assert sorted(name for group in split.values() for name in group) == sorted(NAMES)
    assert split == split_volumes(reversed(NAMES), groups=groups, seed=seed)
    assert split != split_volumes(NAMES, groups=groups, seed=seed + 1)


def test_fractions_share_what_patterns_leave():
    split = split_volumes(NAMES, groups={"train": 0.75, "test": ["s5_*"], "valid": 0.25})
    assert list(split) == ["train", "test", "valid"]
    assert [len(group) for group in split.values()] == [6, 2, 2]


@pytest.mark.parametrize("volumes", range(3, 11))
def test_no_fraction_is_rounded_away(volumes):
    groups = {"train": 0.88, "valid": 0.02, "test": 0.1}
    split = split_volumes(NAMES[:volumes], groups=groups)
    assert sorted(name for group in split.values() for name in group) == NAMES[:volumes]
    assert [len(split[g]) for g in groups] == [volumes - 2, 1, 1]
    with pytest.raises(UserError, match="of 2 volumes is none"):
        split_volumes(NAMES[:2], groups=groups)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"train": ["s9_*"]}, "pattern 's9_.' matches none of the 10 volumes"),
        ({"a": ["s1_*"], "b": ["*_axial*"]}, "'s1_axial.h5' is in group 'a' and in group 'b'"),
        ({"a": 0.7, "b": 0.7}, "sum to 1.4"),
        ({"a": -0.5, "b": 0.5}, "positive"),
        ({"a": []}, "lists no pattern"),
    ],
)
def test_impossible_splits(groups, message):
    with pytest.raises(UserError, match=message):
        split_volumes(NAMES, groups=groups)


def test_halve():
    first, second = halve(NAMES[:9], 3)
    assert (len(first), len(second)) == (5, 4)
    assert sorted(first + second) == sorted(NAMES[:9])
    assert (first, second) == halve(NAMES[8::-1], 3) != halve(NAMES[:9], 4)
    with pytest.raises(UserError, match="1 volume; expected at least 2"):
        halve(["a"], 0)


def test_slice_indices():
    class Table:
        slices = tuple(SliceRef(v, i, (4, 4), 1) for v in "abc" for i in range(2))

    assert slice_indices(Table(), ["c", "a"]) == (0, 1, 4, 5)


SUBJECTS = {f"s{i}_{contrast}": f"subject{i}" for i in range(6) for contrast in ("T1", "T2", "PD")}


def people(names, subjects=SUBJECTS):
    return {subjects[name] for name in names}


@pytest.mark.parametrize("seed", range(8))
def test_a_subject_is_in_one_group(seed):
    groups = {"train": 0.6, "valid": 0.1, "test": 0.3}
    split = split_volumes(SUBJECTS, groups=groups, seed=seed, subjects=SUBJECTS)
    assert sorted(name for own in split.values() for name in own) == sorted(SUBJECTS)
    assert sum(len(people(own)) for own in split.values()) == 6
    assert [len(split[group]) for group in ("valid", "test")] == [3, 6]
    first, second = halve(split["train"], seed, subjects=SUBJECTS)
    assert not people(first) & people(second) and first and second


@pytest.mark.parametrize("seed", range(4))
def test_subjects_of_one_volume_each_change_nothing(seed):
    groups = {"train": 0.7, "test": 0.3}
    alone = {name: f"of {name[::-1]}" for name in NAMES}
    for subjects in (alone, dict(list(alone.items())[::2])):
        split = split_volumes(NAMES, groups=groups, seed=seed, subjects=subjects)
        assert split == split_volumes(NAMES, groups=groups, seed=seed)
        assert halve(NAMES, seed, subjects=subjects) == halve(NAMES, seed)


@pytest.mark.parametrize("groups", [
    {"train": ["s[0-3]_*", "s4_T1"], "test": ["s4_T2", "s5_*"]},
    {"train": 0.8, "test": ["s4_T2"]},
])  # fmt: skip
def test_a_subject_in_two_groups_is_named(groups):
    with pytest.raises(
        UserError, match=r"subject 'subject4' is in group .* data\.split\.by=volume"
    ):
        split_volumes(SUBJECTS, groups=groups, seed=1, subjects=SUBJECTS)


def test_one_subject_cannot_be_divided():
    subjects = {"a": "x", "b": "x", "c": "x"}
    with pytest.raises(
        UserError, match=r"1 subject with 3 volumes is none; .* data\.split\.by=vol"
    ):
        split_volumes(subjects, groups={"train": 0.5, "test": 0.5}, subjects=subjects)
    with pytest.raises(UserError, match=r"has 1 subject with 3 volumes; .* data\.split\.by=volume"):
        halve(subjects, 0, subjects=subjects)


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
