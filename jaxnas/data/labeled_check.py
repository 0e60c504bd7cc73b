"""Reading every labelled volume once before a long run, and naming all that would stop it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from jaxnas.core.errors import UserError
from jaxnas.data.cardiac import LABELED_READERS, PARTS
from jaxnas.data.check import Problem
from jaxnas.data.files import PathLike, listed, why_left_out
from jaxnas.data.labeled import LabeledSource, LabeledVolume


def check_labeled(kind: str, paths: PathLike) -> list[Problem]:
    """Opens every patient or file of data set `kind` and reads every volume; all problems.

    `kind` is one of LABELED_READERS. An image of one value is a problem that is not certain. An
    empty list means that the data can be used.
    """
    problems = []
    for path in map(Path, listed(paths)):
        try:
            found = PARTS[kind].find(path)
            rest = PARTS[kind].left_out(path)
        except UserError as error:
            problems.append(Problem(path, str(error)))
        else:
            why = partial(why_left_out, expected=PARTS[kind].expected)
            problems += [Problem(entry, why(entry)) for entry in rest]
            problems += [
                problem for part in found for problem in _check_part(part, LABELED_READERS[kind])
            ]
    return problems


def _check_part(part: Path, reader: Callable[..., LabeledSource]) -> list[Problem]:
    try:
        source = reader(part, "all")
    except UserError as error:
        return [Problem(part, str(error))]
    problems = []
    for i in range(len(source.volumes)):
        try:
            volume = source.read(i)
        except UserError as error:
            problems.append(Problem(part, str(error)))
        else:
            problems += _doubts(part, volume)
    return problems


def _doubts(part: Path, volume: LabeledVolume) -> list[Problem]:
    low, high = volume.image.min(), volume.image.max()
    if low < high:
        return []
    text = f"{part}: {volume.name} is {low:g} everywhere; expected an image, leave it out"
    return [Problem(part, text, certain=False)]
