"""The Dice of a validation is the one that the evaluation would give, whoever asks first."""

import jax
import numpy as np
import pytest

from jaxnas.data.annotation import patient_names
from jaxnas.data.heart import HeartSource
from jaxnas.segmentation.apply import Predictor
from jaxnas.segmentation.dataset import LabeledDataset
from jaxnas.segmentation.rows import segmentation_rows
from jaxnas.segmentation.scoring import evaluate_segmentation
from jaxnas.segmentation.task import DiceValidation
from tests.segmentation.tiny import PREPARATION, SegNet


def variables(seed):
    image = np.random.default_rng(seed).normal(size=(1, 16, 16, 1)).astype(np.float32)
    return SegNet().init(jax.random.key(seed), image, train=True)


def test_dice_is_that_of_the_evaluation():
    source = HeartSource(patients=3, slices=2, size=32, frames=2, phases="ed_es")
    names = patient_names(source)
    groups = {"train": names[:1], "valid": names[1:], "test": ()}
    dataset, score = (
        LabeledDataset(source=source, preparation=PREPARATION, groups=groups),
        DiceValidation(SegNet(), slices=2),
    )
    for seed in (0, 1):  # the second of them runs what was compiled for the first
        own = variables(seed)
        found = evaluate_segmentation(
            {"net": Predictor(SegNet(), own, PREPARATION)},
            source,
            dataset.volumes("valid"),
            slices=2,
        )
        (row,) = segmentation_rows(found.scores, found.part)
        assert score(own, dataset) == pytest.approx(row["dice"]["mean"]["mean"], rel=1e-6)
