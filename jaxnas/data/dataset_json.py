"""The description of a data set in nnU-Net's layout: `dataset.json`, in either of its dialects.

nnU-Net v2 has `labels: {"background": 0, "liver": 1}` and `channel_names: {"0": "MRI"}`; v1 and the
Medical Segmentation Decathlon `labels: {"0": "background", "1": "liver"}` and `modality`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxnas.core.errors import UserError
from jaxnas.core.files import read_json
from jaxnas.data.annotation import BACKGROUND

DESCRIPTION = "dataset.json"
MOST = 255  # labels are one byte
RESERVED = "mean"  # of all classes, in tables


def read_labels_of(folder: Path) -> tuple[str, ...]:
    """The names of the labels 0, 1, … of a data set, background first.

    UserError for a file that is none, several channels, labels without names or numbers, gaps
    between the numbers, regions of several labels and an ignore label.
    """
    path = folder / DESCRIPTION
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {_kind(content)}; expected an object with labels, write it")
    channels = content.get("channel_names", content.get("modality", {}))
    if isinstance(channels, dict | list) and len(channels) > 1:
        found = channels.values() if isinstance(channels, dict) else channels
        raise UserError(
            f"{path}: has {len(channels)} channels ({', '.join(map(str, found))}); expected one, "
            "keep a single channel of every image"
        )
    labels = content.get("labels")
    if not isinstance(labels, dict) or not labels:
        raise UserError(
            f'{path}: has {_kind(labels)} for labels; expected {{"background": 0, "liver": 1, …}}, '
            "add them"
        )
    return check_labels(_by_number(path, labels), where=str(path))


def check_labels(names: Sequence[str], *, where: str) -> tuple[str, ...]:
    """The names of the labels 0, 1, …; UserError, naming `where`, unless they can be."""
    wrong = None
    if len(names) < 2 or names[0].lower() != BACKGROUND:
        wrong = f"labels {', '.join(names) or 'of no name'}"
        wanted = f"{BACKGROUND} first, then at least one class"
    elif len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        wrong, wanted = f"two labels called {twice!r}", "every name once"
    elif RESERVED in names:
        wrong = f"a label called {RESERVED!r}, which tables call the mean over classes"
        wanted = "another name"
    elif "" in names:
        wrong, wanted = "a label without a name", "a name for each"
    elif len(names) > MOST:
        wrong, wanted = f"{len(names)} labels", f"at most {MOST}"
    if wrong:
        raise UserError(f"{where}: has {wrong}; expected {wanted}, correct the labels")
    return (BACKGROUND, *names[1:])


def _by_number(path: Path, labels: dict[str, Any]) -> list[str]:
    """The names in the order of their numbers, in either dialect."""
    turned = all(isinstance(value, str) and key.isdecimal() for key, value in labels.items())
    numbers = {v: int(k) for k, v in labels.items()} if turned else labels
    for name, number in numbers.items():
        if isinstance(number, list) or name == "ignore":
            what = "regions of several labels" if isinstance(number, list) else "an ignore label"
            raise UserError(
                f"{path}: has {what} ({name!r}); expected one number per class, relabel the files"
            )
        if isinstance(number, str) and number.isdecimal():
            numbers = numbers | {name: int(number)}
        elif isinstance(number, bool) or not isinstance(number, int):
            raise UserError(
                f"{path}: has {number!r} for the label {name!r}; expected a whole number, correct "
                "it"
            )
    if sorted(numbers.values()) != list(range(len(labels))):
        found = ", ".join(map(str, sorted(numbers.values())))
        raise UserError(
            f"{path}: has labels {found}; expected 0 to {len(labels) - 1}, each with one name, "
            "number them without gaps in the file and in the images"
        )
    return sorted(numbers, key=numbers.__getitem__)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
