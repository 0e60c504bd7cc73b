"""The cross-validation folds in use for ACDC: by patient, so that no patient is on both sides."""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError

FOLDS = 5
NNUNET_SEED = 1234
KFOLD_SEED = 12345


class Fold(NamedTuple):
    """Patients to train on and patients held back, each sorted, none in both."""

    train: tuple[str, ...]
    held: tuple[str, ...]


def nnunet_held(patients: list[str], fold: int) -> list[str]:
    """Every fifth of the sorted patients, shuffled as nnU-Net shuffles ACDC's, from `fold` on."""
    shuffled = np.array(patients)
    np.random.RandomState(NNUNET_SEED).shuffle(shuffled)
    return shuffled[fold::FOLDS].tolist()


def kfold_held(patients: list[str], fold: int) -> list[str]:
    """The part `fold` of the sorted patients, shuffled and cut in five, as nnU-Net splits any data.

    The same as KFold(5, shuffle=True, random_state=12345) of scikit-learn.
    """
    shuffled = np.array(patients)
    np.random.RandomState(KFOLD_SEED).shuffle(shuffled)
    return np.array_split(shuffled, FOLDS)[fold].tolist()


def modulo_held(patients: list[str], fold: int) -> list[str]:
    """The patients whose number leaves the remainder `fold` when divided by five.

    ACDC numbers its patients by diagnosis, so every fold has as many of each. A patient without a
    number raises UserError.
    """
    return [patient for patient in patients if _number(patient) % FOLDS == fold]


SCHEMES: dict[str, Callable[[list[str], int], list[str]]] = {
    "nnunet": nnunet_held,
    "kfold": kfold_held,
    "modulo": modulo_held,
}


def split_fold(patients: Iterable[str], *, scheme: str, fold: int) -> Fold:
    """Fold number `fold` (from 0) of five over the patients, by the scheme of SCHEMES.

    UserError for an unknown scheme or fold, and for a side that comes out empty.
    """
    patients = sorted(set(patients))
    if scheme not in SCHEMES:
        raise UserError(
            f"no scheme of folds is called {scheme!r}; expected one of {', '.join(SCHEMES)}, "
            "name one of them"
        )
    if fold not in range(FOLDS):
        raise UserError(
            f"fold {fold} of {FOLDS} does not exist; expected 0 to {FOLDS - 1}, correct it"
        )
    held = SCHEMES[scheme](patients, fold)
    train = [patient for patient in patients if patient not in set(held)]
    if not held or not train:
        raise UserError(
            f"fold {fold} of scheme {scheme!r} has {len(train)} patients to train on and "
            f"{len(held)} held back; expected at least one of each, add patients"
        )
    return Fold(tuple(train), tuple(sorted(held)))


def _number(patient: str) -> int:
    numbers = re.findall(r"\d+", patient)
    if not numbers:
        raise UserError(
            f"patient {patient!r} has no number; expected one in every name, use another scheme"
        )
    return int(numbers[-1])
