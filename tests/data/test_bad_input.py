"""Every bad input a user may bring: one sentence that says where, what, expected, what to do."""

import fcntl
import os

import h5py
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data import hdf5
from jaxnas.data.arrays import ArraySource
from jaxnas.data.check import check_source
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.make import make_dataset
from jaxnas.data.synthetic import SyntheticSource
from tests.data.clear import assert_one_clear_sentence


@pytest.fixture
def path(tmp_path):
    """A good masked-free single-coil file of two slices, 20×18."""
    return make_dataset(tmp_path, SyntheticSource(volumes=1, slices=2, size=(20, 18)))[0]


def edit(change):
    """A fault that opens the file for writing and changes it."""

    def fault(path):
        with h5py.File(path, "r+") as file:
            change(file)

    return fault


def replace(name, value):
    def change(file):
        if name in file:
            del file[name]
        file[name] = value

    return edit(change)


def poke(name, value):
    def change(file):
        file[name][1, 3, 4] = value

    return edit(change)


def grow(factor):
    """A fault that multiplies k-space, in double precision."""

    def change(file):
        kspace = file["kspace"][:].astype(np.complex128) * factor
        del file["kspace"]
        file["kspace"] = kspace

    return edit(change)


def inverted_mask(path):
    mask = np.arange(18) % 3 == 0
    with h5py.File(path, "r+") as file:
        file["kspace"][:] *= mask
        file["mask"] = ~mask


def truncate(path):
    os.truncate(path, path.stat().st_size - 1000)


def flip_header(path):
    with h5py.File(path, "r+") as file:
        xml = file["ismrmrd_header"][()].decode().replace("<maximum>17", "<maximum>99")
        del file["ismrmrd_header"]
        file["ismrmrd_header"] = xml


def corrupt_chunk(path):
    """A compressed file with one damaged byte run in the middle of its pixels."""
    with h5py.File(path, "r+") as file:
        values = file["kspace"][()]
        del file["kspace"]
        file.create_dataset("kspace", data=values, chunks=(1, 20, 18), compression="gzip")
        info = file["kspace"].id.get_chunk_info(1)
    with open(path, "r+b") as raw:
        raw.seek(info.byte_offset + info.size // 2)
        raw.write(b"\xff" * 64)


ones = np.ones
FAULTS = {
    "no kspace": (edit(lambda f: f.pop("kspace")), "no dataset 'kspace' .the file has: ismrmrd"),
    "kspace is a group": (
        edit(lambda f: (f.pop("kspace"), f.create_group("kspace"))),
        "no dataset 'kspace'",
    ),
    "no max": (edit(lambda f: f.attrs.pop("max")), "attribute 'max' is missing"),
    "max is text": (edit(lambda f: f.attrs.update(max="1")), "attribute 'max' is 1"),
    "truncated": (truncate, "is truncated"),
    "empty file": (lambda p: p.write_bytes(b""), "is not an HDF5 file"),
    "not HDF5": (lambda p: p.write_bytes(b"DICM" * 999), "is not an HDF5 file"),
    "damaged": (corrupt_chunk, "cannot be read .*damaged|cannot be read .*intact"),
    "gone": (lambda p: p.unlink(), "no such file or folder"),
    "real k-space": (replace("kspace", ones((2, 20, 18), "f4")), "is float32; expected complex"),
    "real pairs": (replace("kspace", ones((2, 20, 18, 2), "f4")), "is float32; expected complex"),
    "wrong rank": (replace("kspace", ones((20, 18), "c8")), "has 2 axes .20, 18."),
    "rank 5": (replace("kspace", ones((1, 1, 1, 20, 18), "c8")), "has 5 axes"),
    "no slices": (replace("kspace", ones((0, 20, 18), "c8")), "so no data"),
    "NaN": (poke("kspace", np.nan), "'kspace' has NaN or infinity in slice 1"),
    "infinite": (poke("kspace", np.inf), "'kspace' has NaN or infinity in slice 1"),
    "NaN target": (poke("reconstruction_esc", np.nan), "'reconstruction_esc' has NaN"),
    "short target": (
        replace("reconstruction_esc", ones((1, 20, 18), "f4")),
        r"expected \(2, h, w\)",
    ),
    "long mask": (replace("mask", ones(20)), r"'mask' has shape \(20,\); expected \(18,\)"),
    "turned mask": (replace("mask", ones((18, 20))), r"'mask' has shape \(18, 20\)"),
    "inverted mask": (inverted_mask, "is zero in 100% of what the mask of slice 0 says"),
    "beyond float32": (grow(1e60), r"up to .*e\+\d+ in slice 0, beyond float32"),
    "below float32": (grow(1e-60), r"up to .*e-\d+ in slice 0, beyond float32"),
    "mask of sevens": (replace("mask", 7 * ones(18)), "values other than 0 and 1"),
    "header is not XML": (replace("ismrmrd_header", "<a>"), "'ismrmrd_header' is wrong: not valid"),
    "header is empty": (replace("ismrmrd_header", "<a/>"), "no element encoding"),
    "header disagrees": (flip_header, "says columns 0 to 100 were encoded"),
}


def read_everything(path):
    source = FastMRISource(path)
    return [source.read(i) for i in range(len(source.slices))]


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_file(path, fault):
    spoil, found = FAULTS[fault]
    read_everything(path)  # it was good
    hdf5.close_files()  # an open file cannot be spoiled
    spoil(path)
    with pytest.raises(UserError, match=found) as caught:
        read_everything(path)
    assert_one_clear_sentence(str(caught.value), path)
    assert caught.value.exit_code == 2
    assert caught.value.__cause__ is None, "the message is the whole story"


def test_a_file_being_written_elsewhere(path):
    with open(path, "r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="locked by a program that is writing it") as caught:
            read_everything(path)
    assert_one_clear_sentence(str(caught.value), path)
    assert read_everything(path), "it can be read when the writer is done"


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda p: p.mkdir(), r"no \*.h5 or \*.hdf5 file among the 0 entries"),
        (lambda p: (p.mkdir(), (p / "a.txt").touch()), "among the 1 entries"),
        (lambda p: (p.mkdir(), (p / ".a.h5").touch()), "no .*file"),
        (lambda p: None, "no such file or folder"),
    ],
    ids=["empty", "other files", "hidden", "absent"],
)
def test_bad_folder(tmp_path, make, found):
    folder = tmp_path / "data"
    make(folder)
    with pytest.raises(UserError, match=found) as caught:
        FastMRISource(folder)
    assert_one_clear_sentence(str(caught.value), folder)


def test_no_path_at_all():
    with pytest.raises(UserError, match="no data path given"):
        FastMRISource([])


ARRAY_FAULTS = {
    "real image": ("a.npy", ones((2, 8, 8), "f4"), {"domain": "image"}, "is float32"),
    "complex magnitude": ("a.npy", ones((8, 8), "c8"), {"domain": "magnitude"}, "is complex64"),
    "rank": ("a.npy", ones((8,), "c8"), {}, r"has 1 axes \(8,\); expected HW, SHW or SCHW"),
    "axes": ("a.npy", ones((8, 8), "c8"), {"axes": "SHW"}, "expected SHW"),
    "letters": ("a.npy", ones((8, 8), "c8"), {"axes": "XY"}, "letters of SCHW"),
    "no slices": ("a.npy", ones((0, 8, 8), "c8"), {}, "at least one slice"),
    "NaN": ("a.npy", np.nan * ones((1, 8, 8), "c8"), {}, "NaN or infinity in slice 0"),
    "objects": ("a.npy", np.array([{}]), {}, "cannot be read .*objects"),
    "name in npz": ("a.npz", {"k": ones((8, 8), "c8")}, {}, "no dataset 'kspace' .*has: k"),
    "name in h5": ("a.h5", {"k": ones((8, 8), "c8")}, {}, "no dataset 'kspace' .*has: k"),
    "sens": (
        "a.npz",
        {"kspace": ones((1, 3, 8, 8), "c8"), "s": ones((2, 8, 8), "c8")},
        {"sens": "s"},
        r"'s' has shape \(2, 8, 8\)",
    ),
    "sens of one k-space": (
        "a.npz",
        {"kspace": ones((2, 8, 8), "c8"), "s": ones((3, 8, 8), "c8")},
        {"sens": "s"},
        r"'s' has shape \(3, 8, 8\)",
    ),
    "sens beside npy": ("a.npy", ones((1, 8, 8), "c8"), {"sens": "s"}, "holds one array"),
    "empty npz": ("a.npz", {}, {"dataset": "*"}, "holds no array"),
    "empty h5": ("a.h5", {}, {"dataset": "*"}, "holds no array"),
    "one of all": (
        "a.npz",
        {"x": ones((8, 8), "c8"), "y": ones((8, 8))},
        {"dataset": "*"},
        "dataset 'y' is float64; expected complex",
    ),
    "all of junk": ("a.npz", b"PK junk", {"dataset": "*"}, "cannot be read"),
    "junk npy": ("a.npy", b"junk", {}, "cannot be read"),
    "empty npy": ("a.npy", b"", {}, "cannot be read"),
    "junk npz": ("a.npz", b"PK junk", {}, "cannot be read"),
}


def store(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".npy":
        np.save(path, content)
    elif path.suffix == ".npz":
        np.savez(path, **content)
    else:
        with h5py.File(path, "w") as file:
            file.update(content)
    return path


@pytest.mark.parametrize("fault", ARRAY_FAULTS)
def test_bad_array(tmp_path, fault):
    name, content, options, found = ARRAY_FAULTS[fault]
    path = store(tmp_path / name, content)
    with pytest.raises(UserError, match=found) as caught:
        ArraySource(path, **options).read(0)
    assert_one_clear_sentence(str(caught.value), path)


def test_check_names_every_bad_file_among_many(tmp_path):
    good = SyntheticSource(volumes=9, slices=2, size=(20, 18))
    paths = make_dataset(tmp_path, good)
    assert check_source(tmp_path) == []
    hdf5.close_files()
    FAULTS["truncated"][0](paths[2])
    FAULTS["NaN"][0](paths[5])
    FAULTS["damaged"][0](paths[7])
    problems = check_source([tmp_path, tmp_path / "absent"])
    assert [problem.path for problem in problems] == [
        paths[2],
        paths[5],
        paths[7],
        tmp_path / "absent",
    ]
    for problem in problems:
        assert_one_clear_sentence(problem.message, problem.path)


def test_check_takes_any_reader(tmp_path):
    np.save(tmp_path / "good.npy", ones((2, 8, 8), "c8"))
    np.save(tmp_path / "real.npy", ones((2, 8, 8), "f4"))
    problems = check_source(tmp_path, reader=ArraySource, suffixes=(".npy",))
    assert [problem.path.name for problem in problems] == ["real.npy"]
