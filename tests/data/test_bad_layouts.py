"""Bad input of MoDL-Brain, CC359 and NIfTI: one sentence that names file and dataset."""

import os
import shutil
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.arrays import ArraySource
from jaxnas.data.cc359 import CC359Source
from jaxnas.data.check import check_source
from jaxnas.data.layouts import make_cc359, make_cc359_multi, make_modl_brain
from jaxnas.data.modl_brain import ModlBrainSource
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.views import FullySampled
from tests.data.clear import assert_one_clear_sentence

ones = np.ones


def drop(name):
    def fault(path):
        with h5py.File(path, "r+") as file:
            del file[name]

    return fault


def replace(name, value):
    def fault(path):
        with h5py.File(path, "r+") as file:
            if name in file:
                del file[name]
            file[name] = value

    return fault


def poke(name, value):
    def fault(path):
        with h5py.File(path, "r+") as file:
            file[name][(1,) + (0,) * (file[name].ndim - 1)] = value

    return fault


def empty(path):
    with h5py.File(path, "w"):
        pass


def truncate(path):
    os.truncate(path, path.stat().st_size - 1000)


def saved(array):
    return lambda path: np.save(path, array)


def changed(change):
    def fault(path):
        array = np.load(path)
        change(array)
        np.save(path, array)

    return fault


def image(voxels):
    return lambda path: nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)


def make_modl(folder):
    source = SyntheticSource(volumes=2, slices=2, size=(20, 18), coils=2)
    return make_modl_brain(folder, source)[0]


def make_single(folder):
    return make_cc359(folder, SyntheticSource(volumes=1, slices=2, size=(20, 18)))[0]


def make_multi(folder):
    source = SyntheticSource(volumes=1, slices=2, size=(20, 18), coils=2)
    return make_cc359_multi(folder, source)[0]


def make_nifti(name):
    def make(folder):
        voxels = np.random.default_rng(0).integers(0, 200, (18, 20, 4)).astype(np.uint8)
        folder.mkdir()
        image(voxels)(folder / name)
        return folder / name

    return make


def read_modl(path):
    source = ModlBrainSource(path)
    return [(source.read(i), source.mask(i)) for i in range(len(source.slices))]


def read_cc359(path):
    source = CC359Source(path)
    return [source.read(i) for i in range(len(source.slices))]


def read_nifti(path):
    source = ArraySource(path, domain="magnitude")
    return [source.read(i) for i in range(len(source.slices))]


MODL, SINGLE, MULTI, GZIPPED, PLAIN = "modl single multi gzipped plain".split()
KINDS = {
    MODL: (make_modl, read_modl),
    SINGLE: (make_single, read_cc359),
    MULTI: (make_multi, read_cc359),
    GZIPPED: (make_nifti("head.nii.gz"), read_nifti),
    PLAIN: (make_nifti("head.nii"), read_nifti),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A good file of every kind."""
    folder = tmp_path_factory.mktemp("good")
    paths = {kind: make(folder / kind) for kind, (make, _) in KINDS.items()}
    for kind, path in paths.items():
        KINDS[kind][1](path)
    return paths


FAULTS = {
    "modl: nothing": (MODL, empty, "no dataset 'trnOrg' or 'tstOrg' .the file has: nothing"),
    "modl: no maps": (MODL, drop("trnCsm"), "no dataset 'trnCsm' .the file has: trnMask, trnOrg"),
    "modl: no images": (MODL, drop("tstOrg"), "no dataset 'tstOrg'"),
    "modl: no masks": (MODL, drop("tstMask"), "no dataset 'tstMask'"),
    "modl: real": (MODL, replace("trnOrg", ones((2, 20, 18))), "'trnOrg' is float64; .*complex"),
    "modl: complex mask": (
        MODL,
        replace("tstMask", ones((2, 20, 18), "c8")),
        "'tstMask' is complex64; expected zeros and ones",
    ),
    "modl: rank": (MODL, replace("trnOrg", ones((20, 18), "c8")), r"'trnOrg' has shape \(20, 18\)"),
    "modl: maps of one slice": (
        MODL,
        replace("tstCsm", ones((1, 2, 20, 18), "c8")),
        r"'tstCsm' has shape \(1, 2, 20, 18\); expected \(2, 2, 20, 18\)",
    ),
    "modl: transposed maps": (
        MODL,
        replace("tstCsm", ones((2, 2, 18, 20), "c8")),
        r"expected \(2, 2, 20, 18\) to fit 'tstOrg'",
    ),
    "modl: short mask": (MODL, replace("trnMask", ones((2, 20, 17))), r"expected \(2, 20, 18\)"),
    "modl: no slices": (MODL, replace("trnOrg", ones((0, 20, 18), "c8")), "at least one slice"),
    "modl: NaN": (MODL, poke("trnOrg", np.nan), "'trnOrg' has NaN or infinity in slice 1"),
    "modl: NaN in maps": (MODL, poke("tstCsm", np.inf), "'tstCsm' has NaN or infinity in slice 1"),
    "modl: mask of sevens": (MODL, poke("tstMask", 7), "'tstMask' has values other than 0 and 1"),
    "modl: truncated": (MODL, truncate, "is truncated"),
    "single: rank": (
        SINGLE,
        saved(ones((20, 18, 2))),
        r"has shape \(20, 18, 2\); expected .slices",
    ),
    "single: channels": (SINGLE, saved(ones((2, 20, 18, 4))), "4 along the last axis"),
    "single: axes": (SINGLE, saved(ones((2, 2, 20, 18))), "18 along the last axis"),
    "single: complex": (SINGLE, saved(ones((2, 20, 18, 2), "c8")), "complex64; expected real"),
    "single: no slices": (SINGLE, saved(ones((0, 20, 18, 2))), "expected .slices, H, W, 2."),
    "single: NaN": (SINGLE, changed(lambda a: a[1].fill(np.nan)), "NaN or infinity in slice 1"),
    "single: truncated": (SINGLE, truncate, "cannot be read"),
    "single: empty": (SINGLE, lambda p: p.write_bytes(b""), "cannot be read"),
    "single: objects": (SINGLE, saved(np.array([{}])), "cannot be read .*objects"),
    "multi: no kspace": (MULTI, drop("kspace"), "no dataset 'kspace' .the file has: nothing"),
    "multi: odd": (MULTI, replace("kspace", ones((2, 20, 18, 5))), "'kspace' .* 5 along the last"),
    "multi: rank": (
        MULTI,
        replace("kspace", ones((20, 18, 4))),
        r"'kspace' .*expected \(x, ky, kz",
    ),
    "multi: complex": (
        MULTI,
        replace("kspace", ones((2, 20, 18, 4), "c8")),
        "is complex64; .*real",
    ),
    "multi: NaN": (MULTI, poke("kspace", np.nan), "'kspace' has NaN or infinity in slice 1"),
    "multi: truncated": (MULTI, truncate, "is truncated"),
    "multi: not HDF5": (MULTI, lambda p: p.write_bytes(b"junk" * 99), "is not an HDF5 file"),
    "nifti: rank": (GZIPPED, image(ones((3, 3, 3, 2), "f4")), "has 4 axes .*expected WH or WHS"),
    "nifti: complex": (GZIPPED, image(ones((3, 3, 3), "c8")), "is complex64; expected real"),
    "nifti: NaN": (GZIPPED, image(np.nan * ones((3, 3, 3), "f4")), "NaN or infinity in slice 0"),
    "nifti: truncated": (GZIPPED, truncate, "cannot be read"),
    "nifti: truncated, plain": (PLAIN, truncate, "cannot be read"),
    "nifti: cut header": (PLAIN, lambda p: os.truncate(p, 100), "cannot be read"),
    "nifti: empty": (GZIPPED, lambda p: p.write_bytes(b""), "cannot be read .Empty file"),
    "nifti: junk": (GZIPPED, lambda p: p.write_bytes(b"junk" * 99), "cannot be read .*not a gzip"),
    "nifti: junk, plain": (PLAIN, lambda p: p.write_bytes(b"junk" * 99), "cannot be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_file(good, tmp_path, fault):
    kind, spoil, found = FAULTS[fault]
    path = Path(shutil.copy(good[kind], tmp_path))
    read = KINDS[kind][1]
    spoil(path)
    with pytest.raises(UserError, match=found) as caught:
        read(path)
    assert_one_clear_sentence(str(caught.value), path)
    assert caught.value.__cause__ is None, "the message is the whole story"


@pytest.mark.parametrize("kept", [0.1, 0.2])
def test_the_test_sets_of_the_challenge(good, tmp_path, kept):
    """They are undersampled and say so nowhere."""
    path = Path(shutil.copy(good[MULTI], tmp_path))
    with h5py.File(path, "r+") as file:
        mask = np.random.default_rng(0).uniform(size=(20, 18, 1)) < kept
        file["kspace"][1] = np.where(mask, file["kspace"][1], 0)
    (problem,) = check_source(path, reader=CC359Source)
    assert "slice 1 of" in problem.message and "empty" in problem.message
    assert_one_clear_sentence(problem.message, path)
    with pytest.raises(UserError, match="though no mask says so: slice 1"):
        FullySampled(CC359Source(path)).read(1)


@pytest.mark.parametrize("source", [ModlBrainSource, CC359Source, ArraySource])
def test_bad_folder(tmp_path, source):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="file among the 1 entries of this folder") as caught:
        source(tmp_path)
    assert_one_clear_sentence(str(caught.value), tmp_path)


def test_one_coil_only(tmp_path):
    with pytest.raises(UserError, match="cc359 has a single channel, found 2 coils; expected one"):
        make_cc359(tmp_path, SyntheticSource(volumes=1, slices=1, size=16, coils=2))
    assert not list(tmp_path.iterdir())


def test_axes_the_other_way_round_are_warned_of(tmp_path):
    """What MATLAB writes of (slices, coils, H, W)."""
    rng = np.random.default_rng(0)
    kspace = rng.normal(size=(20, 18, 4, 3)) + 0j
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["kspace"] = kspace
    (problem,) = check_source(tmp_path)
    assert "18 coils of 4×3 samples" in problem.message and not problem.certain


def test_narrow_numbers_are_read_without_a_word(good, tmp_path, recwarn):
    parts = np.load(good[SINGLE]).astype(np.float16)
    np.save(tmp_path / "half.npy", parts)
    assert not check_source(tmp_path, reader=CC359Source, suffixes=(".npy",)) and not recwarn.list
