"""Embedded hearts: pure, anatomical, beating, and neither trivial nor impossible to segment."""

import numpy as np
import pytest
from scipy import ndimage

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import HEART_LABELS, LabeledSource
from jaxnas.data.heart import HeartSource
from jaxnas.data.ventricles import PATIENT_GROUPS, contraction

RV, MYO, LV = (HEART_LABELS.index(name) for name in ("rv", "myo", "lv"))
FIVE = range(len(PATIENT_GROUPS))


@pytest.fixture(scope="module")
def hearts():
    """One patient of every group, all frames."""
    return HeartSource(patients=5, slices=10, size=48, frames=10, phases="all", seed=3)


def millilitres(volume, label):
    return np.count_nonzero(volume.labels == label) * np.prod(volume.spacing) / 1000


def ejection(source, patient, label=LV):
    rest = millilitres(source.frame(patient, 0), label)
    return 1 - millilitres(source.frame(patient, source.end_systole(patient)), label) / rest


@pytest.mark.parametrize("size", [32, (33, 28), (17, 40)])
@pytest.mark.parametrize("slices", [1, 3])
def test_shapes(size, slices):
    source = HeartSource(patients=2, slices=slices, size=size)
    assert isinstance(source, LabeledSource)
    shape = (slices, *((size, size) if isinstance(size, int) else size))
    assert [ref.phase for ref in source.volumes] == ["ED", "ES"] * 2
    assert {ref.shape for ref in source.volumes} == {shape}
    volume = source.read(3)
    assert volume.image.shape == volume.labels.shape == shape
    assert volume.image.dtype == np.float32 and volume.labels.dtype == np.uint8
    assert (volume.name, volume.group) == (source.volumes[3].name, "MINF")
    assert set(np.unique(volume.labels)) <= {0, RV, MYO, LV}
    np.testing.assert_array_equal(volume.image, np.rint(volume.image))


def test_a_frame_depends_on_seed_patient_and_frame_alone():
    many = HeartSource(patients=3, slices=3, size=32, phases="all", frames=8, seed=5)
    few = HeartSource(patients=2, slices=3, size=32, phases="ed_es", frames=8, seed=5)
    assert [ref.name for ref in few.volumes][2] == many.volumes[8].name == "patient002_frame01"
    np.testing.assert_array_equal(many.read(8).image, few.read(2).image)
    np.testing.assert_array_equal(many.read(8).labels, few.read(2).labels)
    other = HeartSource(patients=2, slices=3, size=32, frames=8, seed=6)
    assert np.mean(other.read(2).labels != few.read(2).labels) > 0.03


def test_spacing_and_affine_agree(hearts):
    for patient in FIVE:
        volume = hearts.frame(patient, 0)
        axes = volume.affine[:3, :3]
        np.testing.assert_allclose(np.linalg.norm(axes, axis=0), volume.spacing[::-1])
        assert np.linalg.det(axes) == pytest.approx(np.prod(volume.spacing))
        assert np.abs(axes - np.diag(np.diag(axes))).max() > 0.3, "oblique"


@pytest.mark.parametrize("patient", FIVE)
def test_one_beat(hearts, patient):
    volumes = [millilitres(hearts.frame(patient, t), LV) for t in range(hearts.frames)]
    assert np.argmax(volumes) == 0 and np.argmin(volumes) == hearts.end_systole(patient)
    phases = [ref.phase for ref in hearts.volumes if ref.patient == hearts.patients[patient]]
    assert phases.index("ED") == 0 and phases.index("ES") == hearts.end_systole(patient)


def test_contraction():
    for end in (0.2, 0.4):
        times = np.linspace(0, 1, 501)
        values = np.array([contraction(t, end) for t in times])
        assert values[0] == values[-1] == 0 and values.max() == 1 == contraction(end, end)
        assert np.all(np.diff(values[times <= end]) >= 0)
        assert np.all(np.diff(values[times >= end]) <= 0)
        assert np.abs(np.diff(values)).max() < 0.03, "no jumps"


def test_the_groups_differ_as_their_diseases_do(hearts):
    normal, infarct, dilated, thick, right = FIVE
    fractions = [ejection(hearts, patient) for patient in FIVE]
    assert 0.5 < fractions[normal] < 0.75 and fractions[dilated] < 0.35
    assert fractions[dilated] < fractions[infarct] < fractions[normal] < fractions[thick]
    rest = [{k: millilitres(hearts.frame(p, 0), k) for k in (RV, MYO, LV)} for p in FIVE]
    assert rest[dilated][LV] > 1.4 * rest[normal][LV]
    assert rest[thick][MYO] / rest[thick][LV] > 1.5 * rest[normal][MYO] / rest[normal][LV]
    assert rest[right][RV] > 1.4 * rest[normal][RV]


@pytest.mark.parametrize("patient", FIVE)
def test_muscle_is_incompressible(hearts, patient):
    source = HeartSource(patients=5, slices=40, size=48, frames=10, seed=3)
    ed, es = (source.frame(patient, t) for t in (0, source.end_systole(patient)))
    assert millilitres(es, MYO) == pytest.approx(millilitres(ed, MYO), rel=0.15)
    assert 50 < millilitres(ed, MYO) < 260 and 50 < millilitres(ed, LV) < 320


@pytest.mark.parametrize("patient", FIVE)
def test_the_muscle_encloses_the_cavity(hearts, patient):
    for volume in (hearts.frame(patient, 0), hearts.frame(patient, hearts.end_systole(patient))):
        for labels in volume.labels:
            cavity = labels == LV
            around = ndimage.binary_dilation(cavity) & ~cavity
            assert np.all(labels[around] == MYO)
            for label in (RV, LV):
                assert ndimage.label(labels == label, np.ones((3, 3)))[1] <= 1, "one piece"


def test_the_right_ventricle_lies_on_the_septum(hearts):
    for patient in FIVE:
        labels = hearts.frame(patient, 0).labels[3]
        touching = ndimage.binary_dilation(labels == RV) & (labels == MYO)
        assert np.count_nonzero(touching) >= 5


def test_slices_shrink_towards_the_apex(hearts):
    for patient in FIVE:
        areas = [np.count_nonzero(plane) for plane in hearts.frame(patient, 0).labels]
        assert areas[0] > 1.3 * areas[-2] > 0
        assert not np.any(hearts.frame(patient, 0).labels[-1] == RV)


def test_hearts_are_in_different_places_and_of_different_brightness():
    source = HeartSource(patients=20, slices=1, size=32)
    volumes = [source.read(2 * p) for p in range(20)]
    centres = np.array([ndimage.center_of_mass(v.labels[0] == LV) for v in volumes])
    assert np.all(centres.std(axis=0) > 1) and np.all(np.abs(centres - 16) < 9)
    brightness = [v.image[v.labels == LV].mean() for v in volumes]
    assert max(brightness) > 3 * min(brightness)


def test_blood_is_bright_and_a_threshold_is_not_enough(hearts):
    for patient in FIVE:
        volume = hearts.frame(patient, 0)
        inside = ndimage.minimum_filter(volume.labels == LV, size=(1, 3, 3))
        blood, muscle = volume.image[inside].mean(), volume.image[volume.labels == MYO].mean()
        assert blood > 1.4 * muscle
        guess = volume.image > (blood + muscle) / 2
        cavity = volume.labels == LV
        dice = 2 * np.count_nonzero(guess & cavity) / (guess.sum() + cavity.sum())
        assert dice < 0.75, "fat, the right ventricle and vessels are as bright"


def test_neighbouring_frames_look_alike_and_patients_do_not(hearts):
    def likeness(a, b):
        return np.corrcoef(a.image[4].ravel(), b.image[4].ravel())[0, 1]

    first = hearts.frame(0, 0)
    assert likeness(first, hearts.frame(0, 1)) > 0.95
    assert likeness(first, hearts.frame(2, 0)) < 0.9
    assert not np.array_equal(first.image, hearts.frame(0, 1).image), "noise of its own"


@pytest.mark.parametrize(
    "wrong", [{"patients": 0}, {"slices": 0}, {"size": 8}, {"size": (32, 8)}, {"frames": 1}]
)
def test_wrong_sizes(wrong):
    with pytest.raises(UserError, match="expected at least 1, 1, 2 and 16"):
        HeartSource(**{"patients": 1, "slices": 1, "size": 32, **wrong})
