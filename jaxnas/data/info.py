"""What a data source holds, one row per volume."""

from typing import NamedTuple

from jaxnas.data.source import Source


class VolumeRow(NamedTuple):
    """A volume: its name, slice count, k-space (H, W), coils, whether it is undersampled."""

    volume: str
    slices: int
    shape: tuple[int, int]
    coils: int
    masked: bool


def summarise(source: Source) -> list[VolumeRow]:
    """One row per volume of `source`, in order."""
    rows: dict[str, VolumeRow] = {}
    for ref in source.slices:
        seen = rows[ref.volume].slices if ref.volume in rows else 0
        rows[ref.volume] = VolumeRow(ref.volume, seen + 1, ref.shape, ref.coils, ref.masked)
    return list(rows.values())
