"""Scores of volumes, rows, files and timings, with predictors whose errors are known."""

import csv
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import HEART_CAVITIES, HEART_LABELS, LabeledRef
from jaxnas.engine.run import Run
from jaxnas.metrics.overlap import dice, hd95
from jaxnas.segmentation.apply import Predictor
from jaxnas.segmentation.dataset import LabeledDataset
from jaxnas.segmentation.evaluate import SegmentationEvaluator
from jaxnas.segmentation.rows import segmentation_rows, volumes_csv
from jaxnas.segmentation.scoring import (
    ClassScore,
    Heart,
    Organs,
    OverlapScore,
    evaluate_segmentation,
)
from jaxnas.segmentation.section import SegmentationConfig
from jaxnas.segmentation.timing import budgeted, time_predictor
from tests.segmentation.tiny import PREPARATION, ByThreshold, volume


class Source:
    """Volumes of hearts in memory."""

    labels, cavities = HEART_LABELS, HEART_CAVITIES

    def __init__(self, volumes):
        self.kept = volumes
        self.volumes = tuple(LabeledRef(v.name, v.patient, v.phase, v.image.shape) for v in volumes)

    def read(self, i):
        """Volume i."""
        return self.kept[i]


class Fixed:
    """A predictor that changes the truth in a known way."""

    def __init__(self, source, change):
        self.answers = {v.name: change(v) for v in source.kept}

    def segment_by(self, volume, *, slices):
        """The changed truth."""
        return self.answers[volume.name]


def hearts():
    """Two patients at ED and ES, the second without a right ventricle at ES."""
    volumes = [
        volume(f"{patient}_{phase}", patient=patient, phase=phase, shape=(3, 24, 20 if k else 16))
        for k, patient in enumerate(("p1", "p2"))
        for phase in ("ED", "ES")
    ]
    volumes[3].labels[volumes[3].labels == 1] = 0
    return Source(volumes)


def shifted(v):
    return np.roll(v.labels, 1, axis=-1)


def no_lv(v):
    return np.where(v.labels == 3, 0, v.labels).astype(np.uint8)


@pytest.fixture(scope="module")
def evaluated():
    source = hearts()
    predictors = {"truth": Fixed(source, lambda v: v.labels), "shifted": Fixed(source, shifted)}
    predictors["no_lv"] = Fixed(source, no_lv)
    return source, evaluate_segmentation(predictors, source, range(4), slices=2)


HEART = Heart(HEART_LABELS[1:], HEART_CAVITIES)


def by_model(rows):
    return {row["model"]: row for row in rows}


def test_every_volume_is_scored_on_its_own_grid(evaluated):
    source, evaluation = evaluated
    assert len(evaluation.scores) == 12
    for score in evaluation.scores:
        if score.model == "shifted":
            truth = next(v for v in source.kept if v.name == score.volume)
            got = [score.classes[name] for name in HEART_LABELS[1:]]
            want = dice(truth.labels, shifted(truth), (1, 2, 3))
            np.testing.assert_array_equal([x.dice for x in got], want)
            want = hd95(truth.labels, shifted(truth), (1, 2, 3), truth.spacing)
            np.testing.assert_array_equal([x.hd95 for x in got], want)
            voxels = np.count_nonzero(truth.labels == 3)
            assert got[2].truth_ml == pytest.approx(voxels * 18 / 1000)


def test_rows_count_what_is_undefined(evaluated):
    rows = by_model(segmentation_rows(evaluated[1].scores, HEART))
    truth, no_lv = rows["truth"], rows["no_lv"]
    assert truth["dice"]["mean"] == {"mean": 1.0, "std": 0.0, "n": 4}
    assert truth["dice"]["rv"]["n"] == 3 and truth["empty"]["rv"] == {"both": 1, "one": 0}
    assert no_lv["dice"]["lv"] == {"mean": 0.0, "std": 0.0, "n": 4}
    assert no_lv["hd95"]["lv"] == {"mean": None, "std": None, "n": 0}
    assert no_lv["empty"]["lv"] == {"both": 0, "one": 4}
    # Three volumes have (1 + 1 + 0)/3, the one without RV (1 + 0)/2.
    assert no_lv["dice"]["mean"]["mean"] == pytest.approx((3 * 2 / 3 + 1 / 2) / 4)
    assert truth["n"] == 4 and truth["patients"] == 2 and truth["latency_ms"] is None


def test_folds_are_compared_by_their_means(evaluated):
    source, whole = evaluated
    assert segmentation_rows(whole.scores, HEART)[0]["folds"] is None
    predictors = {"no_lv": Fixed(source, no_lv), "shifted": Fixed(source, shifted)}
    parts = [
        evaluate_segmentation(predictors, source, indices, slices=2, fold=fold)
        for fold, indices in ((2, (2, 3)), (0, (0, 1)))
    ]
    rows = by_model(segmentation_rows([x for part in parts for x in part.scores], HEART))
    folds = rows["no_lv"]["folds"]
    assert folds["numbers"] == [0, 2] and rows["no_lv"]["n"] == 4
    # Two thirds in every volume, but half in the one that has no right ventricle.
    assert folds["dice"]["mean"]["values"] == pytest.approx([2 / 3, (2 / 3 + 1 / 2) / 2])
    assert folds["dice"]["mean"]["std"] == pytest.approx((2 / 3 - 1 / 2) / 4)
    assert folds["hd95"]["lv"] == {"mean": None, "std": None, "n": 0, "values": [None, None]}
    truth = [dice(v.labels, shifted(v), (3,))[0] for v in source.kept]
    found = rows["shifted"]["folds"]["dice"]["lv"]
    assert found["values"] == pytest.approx([np.mean(truth[:2]), np.mean(truth[2:])])


def score(patient, phase, ml, truth_ml):
    lv = ClassScore(0.9, 1.0, ml, truth_ml)
    return OverlapScore("net", f"{patient}_{phase}", patient, phase, None, {"lv": lv})


def test_ejection_fractions_are_compared_patient_by_patient():
    scores = [
        *(score(f"p{k}", "ED", 100.0, 100.0) for k in range(3)),
        *(score(f"p{k}", "ES", 40 + 10 * k, 44 + 10 * k) for k in range(3)),
        score("p9", "ED", 100.0, 100.0),
        score("p8", "frame07", 80.0, 80.0),
    ]
    (row,) = segmentation_rows(scores, HEART)
    # Predicted 60, 50, 40 %; true 56, 46, 36 %.
    assert row["ejection_fraction"]["lv"] == {"pearson": 1.0, "bias": 4.0, "n": 3}
    assert row["ejection_fraction"]["rv"] is None
    assert row["dice"]["rv"] == {"mean": None, "std": None, "n": 0}


def test_classes_that_the_source_does_not_know_have_no_score(tmp_path):
    source = hearts()
    source.annotated = ("lv",)
    evaluation = evaluate_segmentation(
        {"all": Fixed(source, lambda v: v.labels)}, source, [0], slices=2
    )
    assert set(evaluation.scores[0].classes) == {"lv"}
    dataset = LabeledDataset(source=source, preparation=PREPARATION, groups={"test": ("p1",)})
    run = Run(SegmentationConfig(task="segmentation"), tmp_path)
    line = SegmentationEvaluator(run).describe([dataset])
    assert line.endswith("of 1 patient, without labels of rv, myo")


def test_volumes_csv_has_a_line_per_model_and_volume(evaluated):
    lines = list(csv.DictReader(io.StringIO(volumes_csv(evaluated[1].scores, HEART.classes))))
    assert len(lines) == 12
    line = next(x for x in lines if x["model"] == "no_lv" and x["volume"] == "p2_ES")
    assert (line["patient"], line["phase"], line["group"]) == ("p2", "ES", "")
    assert (line["dice_rv"], line["dice_lv"], line["hd95_lv"]) == ("", "0", "")
    assert float(line["dice_mean"]) == 0.5 and float(line["ml_lv"]) == 0


def test_pictures_are_ed_and_es_of_one_patient(evaluated):
    source, evaluation = evaluated
    assert set(evaluation.pictured) == {"ED", "ES"}
    assert evaluation.pictured["ED"]["volume"] == "p1_ED"
    for phase, place in evaluation.pictured.items():
        truth = next(v for v in source.kept if v.name == place["volume"])
        assert place["spacing"] == [1.5, 1.5] and set(place["slices"]) == {"base", "mid", "apex"}
        for level, z in place["slices"].items():
            got = {k: evaluation.examples[f"{phase}/{level}/{k}"] for k in ("image", "truth")}
            np.testing.assert_array_equal(got["image"], truth.image[z])
            np.testing.assert_array_equal(got["truth"], truth.labels[z])
            moved = evaluation.examples[f"{phase}/{level}/shifted"]
            np.testing.assert_array_equal(moved, shifted(truth)[z])


@pytest.mark.parametrize(
    ("areas", "levels"),
    [
        ([0, 9, 8, 7, 6, 5, 0], {"base": 1, "mid": 3, "apex": 5}),
        ([0, 5, 6, 7, 8, 9, 0], {"base": 5, "mid": 3, "apex": 1}),
        ([9] + [8, 7, 6, 5, 4] * 2 + [1], {"base": 2, "mid": 6, "apex": 10}),
        ([0, 3, 9], {"base": 2, "apex": 1}),
        ([0, 4, 0], {"mid": 1}),
        ([0, 0, 0, 0], {"mid": 2}),
    ],
)
def test_levels_follow_the_size_of_the_heart(areas, levels):
    labels = np.zeros((len(areas), 4, 4), np.uint8)
    for z, area in enumerate(areas):
        labels[z].ravel()[:area] = 3
    assert HEART.levels(labels) == levels


@pytest.mark.parametrize(
    ("areas", "levels"),
    [
        ([0, 9, 8, 7, 6, 5, 0], {"lower": 1, "middle": 3, "upper": 5}),
        ([1] + [8, 7, 6, 5, 4] * 2 + [9], {"lower": 2, "middle": 6, "upper": 10}),
        ([0, 3, 9], {"lower": 1, "upper": 2}),
        ([0, 4, 0], {"middle": 1}),
        ([0, 0, 0, 0], {"middle": 2}),
    ],
)
def test_levels_of_organs_follow_the_numbers_of_slices(areas, levels):
    labels = np.zeros((len(areas), 4, 4), np.uint8)
    for z, area in enumerate(areas):
        labels[z].ravel()[:area] = 1
    assert Organs(("liver",)).levels(labels) == levels


def test_organs_have_no_moments_and_no_ejection_fraction(tmp_path):
    """Pictured is the first volume, under its own name."""
    volumes = [volume(f"case_{k}", patient=f"case_{k}", phase="") for k in (1, 2)]
    source = Source(volumes)
    source.labels, source.cavities = ("background", "liver", "left kidney", "spleen"), ()
    found = evaluate_segmentation({"net": Fixed(source, shifted)}, source, [0, 1], slices=2)
    (row,) = segmentation_rows(found.scores, found.part)
    assert [*row["dice"]] == ["liver", "left kidney", "spleen", "mean"]
    assert "ejection_fraction" not in row and [*row][:7][-1] == "folds"
    assert [*found.pictured] == ["case_1"] and "case_1/middle/truth" in found.examples
    (first, *_) = volumes_csv(found.scores, found.part.classes).splitlines()
    assert "dice_left kidney" in first
    groups = {"test": ("case_1", "case_2")}
    dataset = LabeledDataset(source=source, preparation=PREPARATION, groups=groups)
    line = SegmentationEvaluator(Run(SegmentationConfig(task="segmentation"), tmp_path))
    assert line.describe([dataset]) == "2 test volumes of 2 patients"


def test_what_cannot_be_evaluated_is_the_users_error(evaluated):
    source, _ = evaluated
    with pytest.raises(UserError, match="test split is empty"):
        evaluate_segmentation({}, source, [], slices=2)
    bare = Source([source.kept[0]._replace(labels=None)])
    with pytest.raises(UserError, match="p1_ED: has no labels"):
        evaluate_segmentation({}, bare, [0], slices=2)


@pytest.fixture(scope="module")
def predictor():
    net = ByThreshold()
    variables = net.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False)
    return Predictor(net, variables, PREPARATION)


def test_a_predictor_is_timed_in_every_scope(predictor):
    timings = time_predictor(predictor, volume(), slices=5, calls=5, seconds=0.01)
    places = {(t["scope"], t["unit"]): t for t in timings}
    assert len(places) == len(timings) == 6
    for (_, unit), entry in places.items():
        assert entry["shape"] == [5 if unit == "stack" else 1, 24, 20]
        assert entry["n"] >= 5 and 0 < entry["p50"] <= entry["p90"] <= entry["p99"]
        assert entry["throughput_fps"] > 0
    # The least time of the whole way contains that of its part.
    for unit in ("slice", "stack"):
        assert places["end_to_end", unit]["min"] > places["model", unit]["min"]
    facts = budgeted(timings)
    assert facts["latency_ms"]["p50"] == places["model", "stack"]["p50"]
    assert (facts["latency_ms"]["scope"], facts["latency_ms"]["unit"]) == ("model", "stack")
    assert budgeted([]) == {"latency_ms": None, "throughput_fps": None}


def test_a_lone_slice_smaller_than_the_patch_is_scored_and_timed(predictor):
    """Its right ventricle is in neither the truth nor the answer: counted, and no score."""
    small = volume(shape=(1, 11, 9))
    small.labels[small.labels == 1] = 0
    small = small._replace(image=(100 + 40.0 * small.labels).astype(np.float32))
    small.image[0, 0, 0], small.image[0, 0, 1] = 100, 220  # the whole range, to normalise by
    small.labels[0, 0, :2] = 0, 3
    evaluation = evaluate_segmentation({"net": predictor}, Source([small]), [0], slices=2)
    (row,) = segmentation_rows(evaluation.scores, HEART)
    assert row["n"] == 1 and row["empty"]["rv"]["one"] + row["empty"]["rv"]["both"] == 1
    assert row["dice"]["lv"]["n"] == row["dice"]["myo"]["n"] == 1
    assert evaluation.pictured["ED"]["slices"] == {"mid": 0}
    assert evaluation.examples["ED/mid/net"].shape == (11, 9)
    timings = time_predictor(predictor, small, slices=5, calls=3, seconds=0.0)
    assert {entry["shape"][0] for entry in timings} == {1, 5}
