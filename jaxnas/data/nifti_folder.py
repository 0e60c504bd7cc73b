"""Folders of labelled NIfTI images of any organ: nnU-Net's layout, or `images/` and `labels/`.

nnU-Net's raw data sets have `imagesTr/CASE_0000.nii.gz`, `labelsTr/CASE.nii.gz` and `dataset.json`,
which names the labels; those of the Medical Segmentation Decathlon have `imagesTr/CASE.nii.gz`.
Plain folders have files of the same name in `images/` and `labels/`; where no `dataset.json` lies
beside them the names of the labels have to be given. Every case is a patient with one image of one
channel. Slices are taken as `jaxnas.data.grid` says.

In `dataset.json` nnU-Net v2 has `labels: {"background": 0, "liver": 1}` and `channel_names: {"0":
"MRI"}`; v1 and the Decathlon `labels: {"0": "background", "1": "liver"}` and `modality`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxnas.core.errors import UserError
from jaxnas.core.files import read_json
from jaxnas.data.annotation import BACKGROUND, LabeledRef, LabeledVolume
from jaxnas.data.files import (
    NIFTI,
    PathLike,
    describe_left_out,
    has_suffix,
    left_out,
    listed,
    some,
    visible,
)
from jaxnas.data.grid import Turn
from jaxnas.data.nifti import Place, contiguous, read_grid, read_labels, spacing_remark, turn_to

LAYOUTS_OF_CASES = (("imagesTr", "labelsTr"), ("images", "labels"))
_CHANNEL = re.compile(r"(.+)_(\d{4})")
DESCRIPTION = "dataset.json"
MOST = 255  # labels are one byte
RESERVED = "mean"  # of all classes, in tables


class _Case(NamedTuple):
    """One image and its labels; `turn` brings the labels onto the image's grid."""

    ref: LabeledRef
    image: Place
    labels: Place
    turn: Turn


class NiftiFolderSource:
    """The cases of all folders in `paths`; only headers are read before `read`.

    `labels` are the names of the labels 0, 1, …, background first: those of dataset.json, or those
    given where there is none.
    """

    def __init__(self, paths: PathLike, *, labels: Sequence[str] | None = None):
        """UserError for a folder of another layout, images without labels and labels without an
        image, several channels, unequal grids, and labels that no file or that two name."""
        folders = [Path(path) for path in listed(paths)]
        self.labels = labels_in_folders(folders, labels=labels)
        self._cases = [case for folder in folders for case in _cases(folder)]
        self.volumes = tuple(case.ref for case in self._cases)
        _check_unique(self._cases)
        places = [place for case in self._cases for place in (case.image, case.labels)]
        odd = spacing_remark({place.path: place.grid for place in places})
        rest = [remark for folder in folders for remark in _left_out(folder)]
        self.remarks = (*rest, *([] if odd is None else [odd]))

    def read(self, i: int) -> LabeledVolume:
        """The volume `volumes[i]`; UserError for damaged files and labels without a name."""
        ref, image, labels, turn = self._cases[i]
        return LabeledVolume(
            image=contiguous(image.read()),
            labels=read_labels(labels, turn, self.labels),
            spacing=image.grid.spacing,
            affine=image.grid.affine,
            name=ref.name,
            patient=ref.patient,
            phase=ref.phase,
        )


def labels_in_folders(
    folders: Sequence[Path], *, labels: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The names of the labels of data sets, background first; reads dataset.json and no image.

    UserError where neither dataset.json nor `labels` name them, and where two differ.
    """
    found = None if labels is None else check_labels(tuple(labels), where="the labels given")
    where = "the labels given"
    for folder in folders:
        case_folders(folder)
        if not (folder / DESCRIPTION).exists():
            continue
        own = read_labels_of(folder)
        if found is not None and own != found:
            raise UserError(
                f"{folder / DESCRIPTION}: has the labels {', '.join(own)}, but {where} are "
                f"{', '.join(found)}; expected the same, correct one of them"
            )
        found, where = own, f"those of {folder}"
    if found is None:
        raise UserError(
            f"{folders[0] / DESCRIPTION}: no such file, so nobody says what the labels are called; "
            "expected it, or their names, background first, in data.labels (--labels of jaxnas "
            "data)"
        )
    return found


def case_folders(folder: Path) -> tuple[Path, Path]:
    """The folders of images and of labels; UserError for a folder of another layout."""
    for names in LAYOUTS_OF_CASES:
        if any((folder / name).is_dir() for name in names):
            for name in names:
                if not (folder / name).is_dir():
                    raise UserError(
                        f"{folder / name}: no such folder, although its counterpart is there; "
                        f"expected {' and '.join(names)}, restore it"
                    )
            return folder / names[0], folder / names[1]
    wanted = ", or ".join(" and ".join(names) for names in LAYOUTS_OF_CASES)
    found = "holds neither" if folder.is_dir() else "no such folder"
    raise UserError(
        f"{folder}: {found}; expected a folder with {wanted}, name the one that holds them"
    )


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


def _cases(folder: Path) -> list[_Case]:
    """The cases of one data set, by name."""
    image_folder, label_folder = case_folders(folder)
    labels = {_stem(path): path for path in _files(label_folder)}
    images = _images(_files(image_folder), labels)
    bare = sorted(images.keys() - labels.keys())
    if bare:
        raise UserError(
            f"{label_folder}: no labels of {len(bare)} of {len(images)} images ({some(bare)}); "
            f"expected {bare[0]}.nii.gz and the like, add them or move the images elsewhere"
        )
    blind = sorted(labels.keys() - images.keys())
    if blind:
        raise UserError(
            f"{image_folder}: no image of {len(blind)} of {len(labels)} label files "
            f"({some(blind)}); expected one each, add them or move the labels elsewhere"
        )
    if not images:
        raise UserError(
            f"{image_folder}: holds no NIfTI file; expected one per case, name the folder that "
            "holds the data set"
        )
    return [_case(name, images[name], labels[name]) for name in sorted(images)]


def _case(name: str, image: Path, labels: Path) -> _Case:
    places = []
    for path in (image, labels):
        grid = read_grid(path)
        if len(grid.shape) > 3:
            raise UserError(
                f"{path}: has four axes, {grid.shape}; expected a volume of one channel and one "
                "moment, write one file each"
            )
        places.append(Place(path, grid))
    shown, labelled = places
    ref = LabeledRef(name, name, "", shown.grid.shape)
    return _Case(ref, shown, labelled, turn_to(shown, labelled))


def _images(files: Sequence[Path], labels: dict[str, Path]) -> dict[str, Path]:
    """The image of every case, by its name: that of its labels, or without nnU-Net's channel."""
    found: dict[str, Path] = {}
    for path in files:
        case, channel = _stem(path), "0000"
        if case not in labels and (match := _CHANNEL.fullmatch(case)):
            case, channel = match.groups()
        if case in found or channel != "0000":
            raise UserError(
                f"{path}: is channel {channel} of the case {case}; expected one channel, keep a "
                "single file per case, the one called _0000"
            )
        found[case] = path
    return found


def _files(folder: Path) -> list[Path]:
    """The NIfTI files of a folder; UserError where a case has two."""
    # A link to nothing is no missing file: reading it says so.
    files = [path for path in visible(folder) if has_suffix(path, NIFTI) and not path.is_dir()]
    seen: dict[str, Path] = {}
    for path in files:
        if (first := seen.setdefault(_stem(path), path)) != path:
            raise UserError(f"{path}: beside {first.name}; expected one file per case, remove one")
    return files


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _left_out(folder: Path) -> list[str]:
    """One sentence per folder of files of which something is not read."""
    remarks = []
    for own in case_folders(folder):
        rest = [name for name in left_out(own, suffixes=NIFTI) if not has_suffix(Path(name), NIFTI)]
        if rest:
            total = len(visible(own))
            remarks.append(describe_left_out(own, rest, total=total, expected="NIfTI files"))
    return remarks


def _check_unique(cases: Sequence[_Case]) -> None:
    seen: dict[str, Path] = {}
    for case in cases:
        if (first := seen.setdefault(case.ref.name, case.image.path)) != case.image.path:
            raise UserError(
                f"{case.image.path}: is the case {case.ref.name}, as {first} is; expected every "
                "case once, leave one of them out"
            )


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
