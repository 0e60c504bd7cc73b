"""Folds by patient: those of nnU-Net and of the ACDC challenge, disjoint and complete."""

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import patient_names, volume_indices
from jaxnas.data.folds import FOLDS, SCHEMES, split_fold
from jaxnas.data.heart import HeartSource
from jaxnas.data.splits import split_volumes

PATIENTS = [f"patient{n:03d}" for n in range(1, 101)]
KFOLD = [[0, 3, 8], [7, 10, 11], [6, 9], [1, 4], [2, 5]]


@pytest.mark.parametrize("fold", range(FOLDS))
def test_nnunet_folds(fold):
    """What nnU-Net computes from its file names, of which every patient has two."""
    names = np.unique([p for p in PATIENTS for _ in range(2)])
    np.random.RandomState(1234).shuffle(names)
    held = [str(p) for p in names[fold::5]]
    found = split_fold([*reversed(PATIENTS), *PATIENTS], scheme="nnunet", fold=fold)
    assert set(found.held) == set(held) and len(found.held) == 20
    assert set(found.train) == set(PATIENTS) - set(held)


def test_kfold_folds():
    """Those of KFold(5, shuffle=True, random_state=12345) of scikit-learn on twelve names."""
    names = [f"case_{n:02d}" for n in range(12)]
    held = [split_fold(names, scheme="kfold", fold=k).held for k in range(FOLDS)]
    assert [[int(name[-2:]) for name in part] for part in held] == KFOLD


@pytest.mark.parametrize("fold", range(FOLDS))
def test_modulo_folds(fold):
    found = split_fold(PATIENTS, scheme="modulo", fold=fold)
    assert all(int(p[-3:]) % 5 == fold for p in found.held)
    # Twenty patients of each of five groups, one after the other.
    assert [sum(20 * g < int(p[-3:]) <= 20 * (g + 1) for p in found.held) for g in range(5)] == [
        4
    ] * 5


def test_every_patient_is_held_back_once():
    for scheme in SCHEMES:
        for n in (5, 9, 40):
            folds = [split_fold(PATIENTS[:n], scheme=scheme, fold=k) for k in range(FOLDS)]
            assert sorted(p for fold in folds for p in fold.held) == PATIENTS[:n]


@pytest.mark.parametrize("seed", range(4))
def test_no_patient_is_on_two_sides(seed):
    """Whatever the split, the volumes of a patient stay together."""
    rng = np.random.default_rng(seed)
    source = HeartSource(
        patients=int(rng.integers(6, 25)), slices=1, size=16, frames=4, phases="all", seed=seed
    )
    patients = patient_names(source)
    groups = {"train": 0.6, "valid": 0.2, "test": 0.2}
    splits = [tuple(split_volumes(patients, groups=groups, seed=seed).values())]
    splits.append(
        tuple(split_volumes(patients, groups={"a": ["*[02468]"], "b": ["*[13579]"]}).values())
    )
    splits += [split_fold(patients, scheme=s, fold=seed) for s in SCHEMES]
    for split in splits:
        sides = [volume_indices(source, side) for side in split]
        assert sorted(i for side in sides for i in side) == list(range(len(source.volumes)))
        people = [{source.volumes[i].patient for i in side} for side in sides]
        assert sum(map(len, people)) == len(set().union(*people)) == len(patients)


@pytest.mark.parametrize(
    ("patients", "scheme", "fold", "message"),
    [
        (PATIENTS, "thirds", 0, "no scheme of folds is called 'thirds'; expected one of nnunet"),
        (PATIENTS, "nnunet", 5, "fold 5 of 5 does not exist; expected 0 to 4"),
        (PATIENTS, "modulo", -1, "fold -1 of 5"),
        (PATIENTS[:3], "nnunet", 4, "0 held back"),
        (["patient005", "patient010"], "modulo", 0, "0 patients to train on"),
        (["Anna", "Ben"], "modulo", 0, "'Anna' has no number"),
    ],
)
def test_impossible_folds(patients, scheme, fold, message):
    with pytest.raises(UserError, match=message):
        split_fold(patients, scheme=scheme, fold=fold)
