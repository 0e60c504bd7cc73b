"""Ten thousand reads, many threads, forks: nothing leaks and nothing mixes."""

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data import hdf5
from jaxnas.data.fastmri import FastMRISource

FILES, SLICES = 3 * hdf5.OPEN_FILES, 4


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """More volumes than may be open at once; every pixel is the number of its slice."""
    folder = tmp_path_factory.mktemp("many")
    for v in range(FILES):
        with h5py.File(folder / f"{v:03d}.h5", "w") as file:
            number = v * SLICES + np.arange(SLICES)
            file["kspace"] = np.ones((SLICES, 16, 16), "c8") * number[:, None, None]
    return FastMRISource(folder)


def resident():
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_handles():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_ten_thousand_reads_leak_nothing(source):
    order = np.random.default_rng(0).integers(len(source.slices), size=10_000)
    hdf5.close_files()
    handles = open_handles()
    for i in order[:2000]:
        source.read(i)
    memory = resident()
    for i in order[2000:]:
        source.read(i)
    assert resident() - memory < 4e6
    assert open_handles() - handles <= hdf5.OPEN_FILES
    hdf5.close_files()
    assert open_handles() == handles


def test_threads_read_their_own_slice(source):
    order = np.random.default_rng(1).integers(len(source.slices), size=1000)
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda i: source.read(i).kspace, order))
    for i, value in zip(order, values):
        np.testing.assert_array_equal(value, np.full((16, 16), i, "c8"))


def test_a_file_changed_in_place_is_read_anew(tmp_path):
    path = tmp_path / "x.h5"
    for n in (1, 300):
        with h5py.File(path, "w") as file:
            file["x"] = np.full(n, n)
        assert hdf5.read_dataset(path, "x", ())[0] == n
        hdf5.close_files()


def test_a_truncation_is_noticed_although_the_file_is_open(source):
    path = source.volumes[0].path
    hdf5.read_dataset(path, "kspace", (0,))
    os.truncate(path, path.stat().st_size - 100)
    with pytest.raises(UserError, match="is truncated"):
        hdf5.read_dataset(path, "kspace", (0,))


FORK = """
import os, sys
from jaxnas.data import hdf5
want = hdf5.read_dataset(sys.argv[1], "kspace", (0,)).sum()
if os.fork() == 0:
    stale = bool(hdf5._POOL.files)
    os._exit(stale or int(hdf5.read_dataset(sys.argv[1], "kspace", (0,)).sum() != want))
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
assert hdf5.read_dataset(sys.argv[1], "kspace", (0,)).sum() == want
"""


def test_a_forked_child_opens_its_own_files(source):
    subprocess.run([sys.executable, "-c", FORK, source.volumes[-1].path], check=True)


def test_a_replaced_file_is_read_anew(tmp_path):
    for value in (1, 2):
        with h5py.File(tmp_path / "new.h5", "w") as file:
            file["x"] = [value]
        os.replace(tmp_path / "new.h5", tmp_path / "x.h5")
        assert hdf5.read_dataset(tmp_path / "x.h5", "x", ()) == [value]


def without_locks(number):
    """h5py.File on a file system whose locks fail with an error number."""
    whole = h5py.File

    def opened(path, mode, **options):
        if options.get("locking", True):
            raise BlockingIOError(
                number,
                "Unable to synchronously open file (unable to lock file, errno = "
                f"{number}, error message = '{os.strerror(number)}')",
            )
        return whole(path, mode, **options)

    return opened


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_files_are_read_without(tmp_path, monkeypatch, capsys, number):
    for name in "ab":
        write(tmp_path / name)
    monkeypatch.setattr(h5py, "File", without_locks(number))
    for name in "ab":
        assert hdf5.read_dataset(tmp_path / name, "kspace", ()).shape == (2,)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "HDF5_USE_FILE_LOCKING=FALSE" in said
    assert str(tmp_path) in said and os.strerror(number) in said


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EACCES])
def test_a_file_that_is_being_written_is_not_read(tmp_path, monkeypatch, number):
    write(tmp_path / "a")
    monkeypatch.setattr(h5py, "File", without_locks(number))
    with pytest.raises(UserError, match="locked by a program that is writing it"):
        hdf5.read_dataset(tmp_path / "a", "kspace", ())


def write(path):
    with hdf5.new_file(path) as file:
        file["kspace"] = np.zeros(2, np.float32)
