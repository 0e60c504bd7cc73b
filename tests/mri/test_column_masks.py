"""Masks of whole columns: those of fastMRI to the bit."""

import hashlib

import numpy as np
import pytest

from jaxnas.mri import masks

R4, R8, BOTH = ((4,), (0.08,)), ((8,), (0.04,)), ((4, 8), (0.08, 0.04))
NAME = "file1000000.h5"

# What fastMRI 0.3.0 draws: kind, columns, (accelerations, center_fractions), seed, columns in the
# centre, columns sampled, and the first 16 digits of SHA-256 of the packed columns.
FASTMRI = [
    ("random", 320, R4, 42, 26, 85, "2aac563c1d0e0e12"),
    ("random", 320, R4, NAME, 26, 76, "8ff1ecea0d09bb6d"),
    ("random", 320, R8, 42, 13, 43, "242a7c828dfc07ad"),
    ("random", 320, R8, NAME, 13, 39, "499a442ef17d7af7"),
    ("random", 320, BOTH, 42, 26, 75, "e3d72a627499eea1"),
    ("random", 320, BOTH, NAME, 13, 38, "ce0bf4e5b17b1c92"),
    ("random", 368, R4, 42, 29, 99, "8a2e12c2ab21d962"),
    ("random", 368, R8, 42, 15, 51, "6d531b5c4175ed9c"),
    ("random", 368, BOTH, 42, 29, 92, "ba220495552a7c77"),
    ("random", 372, R4, 42, 30, 102, "85574553f47e3525"),
    ("random", 372, R8, 42, 15, 53, "1ee0b3e28c13a809"),
    ("random", 372, BOTH, 42, 30, 93, "f6f32a0c9bef61ab"),
    ("equispaced", 320, R4, 42, 26, 100, "72b84f635de20c27"),
    ("equispaced", 320, R4, NAME, 26, 100, "91c0b2b5c84daeef"),
    ("equispaced", 320, R8, 42, 13, 51, "423516b8c632d857"),
    ("equispaced", 320, R8, NAME, 13, 52, "60ce9954f722251f"),
    ("equispaced", 320, BOTH, 42, 26, 99, "e36b168ef25e3ee2"),
    ("equispaced", 320, BOTH, NAME, 13, 51, "73895d162198845a"),
    ("equispaced", 368, R4, 42, 29, 113, "666b33c19afee835"),
    ("equispaced", 368, R8, 42, 15, 59, "91fca677568bc1dd"),
    ("equispaced", 368, BOTH, 42, 29, 114, "42576b9cf4bfaff3"),
    ("equispaced", 372, R4, 42, 30, 116, "1094e9baae156b33"),
    ("equispaced", 372, R8, 42, 15, 59, "d7c3542fa37fb40d"),
    ("equispaced", 372, BOTH, 42, 30, 115, "7a5de5cfd7ff0879"),
    ("equispaced_fraction", 320, R4, 42, 26, 80, "5be77d305e5d0967"),
    ("equispaced_fraction", 320, R4, NAME, 26, 80, "cb4dab6137f04cbd"),
    ("equispaced_fraction", 320, R8, 42, 13, 39, "7e7f8c20f3e512f3"),
    ("equispaced_fraction", 320, R8, NAME, 13, 40, "86a824d15519cf96"),
    ("equispaced_fraction", 320, BOTH, 42, 26, 80, "5be77d305e5d0967"),
    ("equispaced_fraction", 320, BOTH, NAME, 13, 40, "57da2a1bb5fe484f"),
    ("equispaced_fraction", 368, R4, 42, 29, 91, "2019e07a7e3cf716"),
    ("equispaced_fraction", 368, R8, 42, 15, 45, "4f4c42519fbd8745"),
    ("equispaced_fraction", 368, BOTH, 42, 29, 91, "2019e07a7e3cf716"),
    ("equispaced_fraction", 372, R4, 42, 30, 92, "6bd9a291e2d21572"),
    ("equispaced_fraction", 372, R8, 42, 15, 47, "0fd454fe5e890d04"),
    ("equispaced_fraction", 372, BOTH, 42, 30, 92, "6bd9a291e2d21572"),
    ("magic", 320, R4, 42, 26, 99, "e36b168ef25e3ee2"),
    ("magic", 320, R4, NAME, 26, 99, "e36b168ef25e3ee2"),
    ("magic", 320, R8, 42, 13, 52, "983356020bc12cbd"),
    ("magic", 320, R8, NAME, 13, 51, "b6e693c416f5f7fa"),
    ("magic", 320, BOTH, 42, 26, 100, "91c0b2b5c84daeef"),
    ("magic", 320, BOTH, NAME, 13, 51, "86bd4a2e2a925850"),
    ("magic", 368, R4, 42, 29, 114, "42576b9cf4bfaff3"),
    ("magic", 368, R8, 42, 15, 59, "5d2ed52c1c1b6ff1"),
    ("magic", 368, BOTH, 42, 29, 114, "d305d1286176a710"),
    ("magic", 372, R4, 42, 30, 116, "8a2766f2d0c47588"),
    ("magic", 372, R8, 42, 15, 60, "298e41d9a5937eba"),
    ("magic", 372, BOTH, 42, 30, 115, "7a5de5cfd7ff0879"),
    ("magic_fraction", 320, R4, 42, 26, 75, "a1d22cefd0a418c3"),
    ("magic_fraction", 320, R4, NAME, 26, 75, "fe290a03bc18e449"),
    ("magic_fraction", 320, R8, 42, 13, 39, "eae5cfee1b78dd8a"),
    ("magic_fraction", 320, R8, NAME, 13, 39, "14822c84ac72016e"),
    ("magic_fraction", 320, BOTH, 42, 26, 75, "a1d22cefd0a418c3"),
    ("magic_fraction", 320, BOTH, NAME, 13, 39, "a0ed8e95cc6e92ae"),
    ("magic_fraction", 368, R4, 42, 29, 86, "ef7446826bf07658"),
    ("magic_fraction", 368, R8, 42, 15, 44, "6181e3070b65087b"),
    ("magic_fraction", 368, BOTH, 42, 29, 86, "ef7446826bf07658"),
    ("magic_fraction", 372, R4, 42, 30, 87, "cc013c910dcfafde"),
    ("magic_fraction", 372, R8, 42, 15, 44, "b017562d0171376e"),
    ("magic_fraction", 372, BOTH, 42, 30, 87, "cc013c910dcfafde"),
]


def make(kind, columns, pairs, seed):
    """A mask of that many columns; how many rows there are does not matter."""
    accelerations, center_fractions = pairs
    drawn = [
        masks.make_mask(
            kind,
            (rows, columns),
            accelerations=accelerations,
            center_fractions=center_fractions,
            seed=seed,
        )
        for rows in (1, 12)
    ]
    np.testing.assert_array_equal(drawn[0].samples, drawn[1].samples)
    return drawn[0]


@pytest.mark.parametrize("kind, columns, pairs, seed, num_low, count, digest", FASTMRI)
def test_equal_to_fastmri(kind, columns, pairs, seed, num_low, count, digest):
    mask = make(kind, columns, pairs, seed)
    assert mask.samples.dtype == bool and mask.samples.shape == (1, columns)
    assert (mask.num_low, mask.samples.sum()) == (num_low, count)
    assert hashlib.sha256(np.packbits(mask.samples).tobytes()).hexdigest()[:16] == digest


def test_equispaced_columns_are_equispaced():
    mask = make("equispaced", 320, R4, 1)
    outside = np.flatnonzero(mask.samples & ~masks.MASKS["equispaced"].center((1, 320), 0.08))
    assert set(np.diff(outside[outside < 140])) == {4}
