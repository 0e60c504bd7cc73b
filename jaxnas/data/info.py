"""The contents of a data source, one row per volume."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxnas.data.source import Source, labels_of


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
