"""Data that is not fully sampled stops every stage before its first step, at one site or many."""

import h5py
import numpy as np
import pytest

from jaxnas.data.synthetic import SyntheticSource

MASK = np.arange(32) % 4 == 0
MASK[13:19] = True
KINDS = {
    "undersampled": (True, {}, "though no mask says so: slice"),
    "masked": (True, {"mask": MASK.astype(np.uint8)}, "is undersampled already: a mask says so"),
    "full with a mask": (False, {"mask": MASK}, "is undersampled already: a mask says so"),
    "mask inverted": (True, {"mask": ~MASK}, "is undersampled already: a mask says so"),
}
COMMANDS = ["search", "train", "evaluate", "run"]
SPLITS = ["train", "valid", "test"]


def write(folder, bad, kind):
    """Six volumes, of which `bad` (names) are of a kind."""
    under, more, _ = KINDS[kind]
    source = SyntheticSource(volumes=6, slices=2, size=32)
    folder.mkdir()
    for v, name in enumerate("abcdef"):
        kspace = np.stack([source.read(2 * v + s).kspace for s in range(2)])
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["kspace"] = kspace * MASK if under and name in bad else kspace
            if name in bad:
                file.update(more)
    return folder


def overrides(folder):
    split = {"train": "[a.h5, b.h5, c.h5, d.h5]", "valid": "[e.h5]", "test": "[f.h5]"}
    settings = {"data.source": "fastmri", "data.path": folder, "train.models": "[dccnn]"}
    settings |= {f"data.split.{group}": names for group, names in split.items()}
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_refused_before_the_first_step(kind, command, tiny, tmp_path, call):
    folder = write(tmp_path / "data", "d", kind)
    result = call(command, tiny, "--workdir", tmp_path / "run", "--quiet", *overrides(folder))
    assert result.code == 2 and KINDS[kind][2] in result.err and "d.h5" in result.err
    assert not (tmp_path / "run").exists() and result.err.count("\n") == 1


@pytest.mark.parametrize("bad", "abcdef")
def test_in_every_split_and_half(bad, tiny, tmp_path, call):
    folder = write(tmp_path / "data", bad, "undersampled")
    result = call("search", tiny, "--workdir", tmp_path / "run", *overrides(folder))
    assert result.code == 2 and f"volume '{bad}.h5' is undersampled" in result.err


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["search", "train"])
def test_at_a_client(kind, command, tiny_federated, tmp_path, call):
    folder = write(tmp_path / "data", "e", kind)
    settings = ["data.source=fastmri", f"data.path={folder}", "data.split.valid_fraction=0"]
    settings += ["federated.partition={method: even, clients: 2}", "train.validate_every=0"]
    settings += ["federated.methods=[{strategy: fedavg, model: dccnn}]"]
    options = [part for setting in settings for part in ("--set", setting)]
    result = call(command, tiny_federated, "--workdir", tmp_path / "run", *options)
    assert result.code == 2 and KINDS[kind][2] in result.err and "client 'client" in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_check(kind, tmp_path, call):
    result = call("data", "check", write(tmp_path / "data", "bd", kind))
    assert result.code == (0 if kind in {"masked", "full with a mask"} else 2)
    named = {"masked": []}.get(kind, ["b.h5", "d.h5"])
    assert all(name in result.err for name in named) and "a.h5" not in result.err
