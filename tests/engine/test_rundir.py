"""Files of a run directory come back as they were written, and a broken one is named."""

from pathlib import Path

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.engine.rundir import RunDir, RunFile
from jaxnas.spaces.genotype import Genotype


@pytest.fixture
def files(tmp_path):
    return RunDir(tmp_path)


def entries():
    """Every file that a run directory names, by the name of its entry."""
    run_dir = RunDir(Path("run"))
    found = {name: getattr(run_dir, name) for name in vars(RunDir) if not name.startswith("_")}
    return {name: file for name, file in found.items() if isinstance(file, RunFile)}


def test_no_file_has_two_names():
    paths = [file.path for file in entries().values()]
    assert len(paths) > 15 and len({*paths}) == len(paths)
    assert all(RunDir(Path("run")).name(name) == file.path.name for name, file in entries().items())


@pytest.mark.parametrize("name", entries())
def test_nothing_exists_before_it_is_written(name, files):
    assert not getattr(files, name).exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", "name: ä\n"),
        ("metrics", {"rows": [{"psnr": 30.25}]}),
        ("genotype", Genotype("csmri_a", (("normal", ((("sep_conv_3x3", 0),),)),))),
    ],
)
def test_a_file_comes_back_as_it_was_written(name, value, files):
    file = getattr(files, name)
    assert file.write(value) == file.path
    assert file.exists() and file.read() == value


def test_a_table_comes_back_as_rows_of_text(files):
    files.slices.write("model,psnr\na,30.5\nb,\n")
    assert files.slices.read() == [{"model": "a", "psnr": "30.5"}, {"model": "b", "psnr": ""}]


def test_arrays_come_back_with_their_places(files):
    arrays = {"2/target": np.arange(6, dtype=np.float32).reshape(2, 3), "2/mask": np.ones(3)}
    file = files.client_examples("north")
    file.write(arrays, {"2": {"volume": "a.h5"}})
    found = file.read()
    assert found.keys() == arrays.keys() and file.places.read() == {"2": {"volume": "a.h5"}}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_a_tree_comes_back_by_the_name_of_its_network(files):
    tree = {"stem": {"mean": np.arange(3, dtype=np.float32)}}
    files.statistics("unet2d/fold1").write(tree)
    assert files.statistics("unet2d/fold1").path.name == "unet2d-fold1.msgpack"
    found = files.statistics("unet2d/fold1").read()
    np.testing.assert_array_equal(found["stem"]["mean"], tree["stem"]["mean"])


def test_entries_are_set_one_by_one(files):
    files.record_timing("train a", {"steps": 3, "step_s": 1.0})
    files.record_timing("train b", {"steps": 4, "step_s": 1.0})
    files.record_timing("train a", {"steps": 0, "step_s": 0.0})
    assert {name: entry["steps"] for name, entry in files.timings.read().items()} == {
        "train a": 3,
        "train b": 4,
    }


@pytest.mark.parametrize("name", ["metrics", "genotype", "examples"])
def test_a_file_cut_short_is_named(name, files):
    file = getattr(files, name)
    file.path.write_bytes(b"PK\x03\x04 cut {")
    with pytest.raises(UserError, match=file.path.name):
        file.read()
