"""Reading every volume once: what a source holds, and every file that would stop a long run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.files import HDF5, PathLike, expand_paths, left_out, listed, why_left_out
from jaxnas.data.sampling import empty_share, filled_samples, is_fully_sampled
from jaxnas.data.source import Slice, Source, labels_of
from jaxnas.data.transforms import describe_misplaced, misplaced_axes


class Problem(NamedTuple):
    """One thing that is wrong, and the file or folder it is wrong with.

    What is not `certain` is worth a warning: the data can be used if it is meant to be so.
    """

    path: Path
    message: str
    certain: bool = True


def check_source(
    paths: PathLike,
    *,
    reader: Callable[[Path], Source] = FastMRISource,
    suffixes: tuple[str, ...] = HDF5,
) -> list[Problem]:
    """Opens every file of `paths` with `reader` and reads every slice; all problems, in order.

    An empty list means that the data can be used.
    """
    problems = []
    for path in map(Path, listed(paths)):
        try:
            files = expand_paths(path, suffixes=suffixes)
        except UserError as error:
            problems.append(Problem(path, str(error)))
        else:
            problems += _check_folder(path, suffixes)
            problems += [problem for file in files for problem in _check_file(file, reader)]
    return problems


def _check_folder(path: Path, suffixes: tuple[str, ...]) -> list[Problem]:
    """A problem for every entry of a folder that nobody would read."""
    skipped = left_out(path, suffixes=suffixes) if path.is_dir() else []
    expected = f"{' or '.join(suffixes)} file"
    return [Problem(path / n, why_left_out(path / n, expected=expected)) for n in skipped]


def _check_file(file: Path, reader: Callable[[Path], Source]) -> list[Problem]:
    try:
        source = reader(file)
    except UserError as error:
        return [Problem(file, str(error))]
    problems: list[Problem] = []
    volumes: dict[str, _Volume] = {}
    for i, ref in enumerate(source.slices):
        volume = volumes.setdefault(ref.volume, _Volume(file, ref.masked))
        try:
            volume.note(source.read(i))
        except UserError as error:
            problems.append(Problem(file, str(error)))
    return [*problems, *(problem for volume in volumes.values() for problem in volume.problems())]


@dataclass
class _Volume:
    """Findings in the slices of a volume; `declared` where a mask says that it is undersampled."""

    file: Path
    declared: bool
    read: int = 0
    filled: int = 0
    undersampled: int = 0
    found: list[Problem] = field(default_factory=list)

    def note(self, item: Slice) -> None:
        """Counts a slice; what it says of the whole volume is found once."""
        self.read += 1
        if not item.kspace.any():
            return
        self.filled += 1
        if self.filled == 1:
            self.found += self._first(item)
        if item.mask is not None and not self.declared:
            self.undersampled += 1
            if self.undersampled == 1:
                self.found.append(Problem(self.file, self._undersampled(item, item.mask)))

    def problems(self) -> list[Problem]:
        """All of them, when every slice is counted."""
        if self.read and not self.filled:
            text = f"{self.file}: k-space is zero in all slices; expected a scan, leave it out"
            return [Problem(self.file, text)]
        return self.found

    def _first(self, item: Slice) -> Iterator[Problem]:
        *coils, height, width = item.kspace.shape
        if coils and coils[0] > max(height, width):
            text = (
                f"{self.file}: {coils[0]} coils of {height}×{width} samples; expected the axes "
                "(slices, coils, H, W), which MATLAB writes the other way round, turn them"
            )
            yield Problem(self.file, text, certain=False)
        axes = misplaced_axes(item.kspace)
        if axes:
            text = f"{self.file}: {describe_misplaced(axes)}"
            yield Problem(self.file, text, certain=False)
        if (
            item.mask is not None
            and self.declared
            and is_fully_sampled(filled_samples(item.kspace))
        ):
            text = (
                f"{self.file}: k-space is fully sampled, but a mask beside it leaves out "
                f"{empty_share(item.mask)}; reconstruct applies it, training refuses this file"
            )
            yield Problem(self.file, text, certain=False)

    def _undersampled(self, item: Slice, mask: np.ndarray) -> str:
        return (
            f"{self.file}: slice {item.index} of {item.volume} has {empty_share(mask)} empty, "
            "so it is undersampled though no mask says so; expected fully sampled k-space or a "
            "dataset 'mask', leave this file out of training"
        )


class VolumeRow(NamedTuple):
    """A volume: name, slice count, k-space (H, W), coils, whether it is undersampled, labels."""

    volume: str
    slices: int
    shape: tuple[int, int]
    coils: int
    masked: bool
    labels: Mapping[str, str]


def summarise_volumes(source: Source) -> list[VolumeRow]:
    """One row per volume of `source`, in order."""
    rows: dict[str, VolumeRow] = {}
    labels = labels_of(source)
    for ref in source.slices:
        seen = rows[ref.volume].slices if ref.volume in rows else 0
        known = labels.get(ref.volume, {})
        rows[ref.volume] = VolumeRow(ref.volume, seen + 1, ref.shape, ref.coils, ref.masked, known)
    return list(rows.values())
