"""Masks of single points, and noise, from a config to the files of a run."""

import json

import h5py
import jax
import numpy as np
import pytest

from jaxnas.data.synthetic import SyntheticSource
from jaxnas.engine.rundir import RunDir
from jaxnas.mri.masks import make_mask
from jaxnas.reconstruction.acquire import named_noise
from jaxnas.report.inputs import read_examples
from tests.mri.reference import fft2c

KINDS = ("random_2d", "poisson")
SMALL = ["data.synthetic.size=[24, 32]", "search.steps=2", "train.steps=2", "network.nodes=1",
         "network.channels=2", "evaluate.tv.iterations=2"]  # fmt: skip
PAIR = ["acquisition.accelerations=[3]", "acquisition.center_fractions=[0.3]"]


def settings(*pairs):
    return [part for pair in pairs for part in ("--set", pair)]


def ifft2c(x):
    return np.conj(fft2c(np.conj(x)))


@pytest.fixture(scope="module", params=KINDS)
def points(request, tiny, tmp_path_factory, call):
    """A kind, and a noisy run with it: of every stage, or without a search."""
    kind, folder = request.param, tmp_path_factory.mktemp("points") / "run"
    asked = [f"acquisition.mask={kind}", "acquisition.noise=0.05", *PAIR, *SMALL]
    if kind != "poisson":
        asked += ["stages=[train, evaluate, report]", "train.models=[dccnn]"]
    done = call("run", tiny, "--workdir", folder, "--quiet", *settings(*asked))
    assert done.code == 0, done.err
    return kind, folder


def test_the_evaluation_is_of_the_masks_and_the_noise_that_names_give(points):
    kind, run = points
    (example,) = read_examples(RunDir(run).examples)
    assert example.mask.shape == (24, 32)
    mask = make_mask(
        kind, (24, 32), accelerations=[3], center_fractions=[0.3], seed=example.volume
    ).samples
    np.testing.assert_array_equal(example.mask, mask)
    image = example.target
    source = SyntheticSource(volumes=5, slices=2, size=(24, 32))
    (item,) = (
        source.read(i)
        for i, ref in enumerate(source.slices)
        if (ref.volume, ref.index) == (example.volume, example.slice)
    )
    noise = named_noise([(example.volume, example.slice)], (24, 32), 0.05)[0] * image.max()
    want = np.abs(ifft2c((item.kspace + noise) * mask))
    np.testing.assert_allclose(example.images["zero_filled"], want, atol=1e-4 * image.max())


def test_reconstruct_draws_the_mask_or_takes_that_of_the_file(points, tmp_path, call):
    kind, run = points
    made = call("data", "make", "--out", tmp_path / "in", "--volumes", 1, "--slices", 2,
                "--size", 33, 40)  # fmt: skip
    assert made.code == 0, made.err
    (path,) = (tmp_path / "in").glob("*.h5")
    with h5py.File(path) as file:
        kspace = file["kspace"][:]
    size = kspace.shape[-2:]
    drawn = make_mask(kind, size, accelerations=[4], center_fractions=[0.3], seed=path.name).samples
    given = np.random.default_rng(0).uniform(size=size) < 0.4
    given[size[0] // 2 - 3 : size[0] // 2 + 4, size[1] // 2 - 3 : size[1] // 2 + 4] = True
    own = tmp_path / "own" / path.name
    own.parent.mkdir()
    with h5py.File(own, "w") as file:
        file["kspace"], file["mask"] = np.where(given, kspace, 0), given.astype(np.uint8)
    for source, mask, asked in ((path, drawn, ["--acceleration", 4]), (own, given, [])):
        for model in ("zero_filled", "dccnn"):
            out = tmp_path / f"{source.parent.name}_{model}"
            done = call("reconstruct", run, source, "--out", out, "--model", model, *asked)
            assert done.code == 0, done.err
            with h5py.File(out / path.name) as file:
                images = file["reconstruction"][:]
            want = np.abs(ifft2c(kspace * mask))
            cut = [slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(size, images.shape[1:])]
            if model == "zero_filled":
                np.testing.assert_allclose(images, want[:, *cut], rtol=1e-3, atol=1e-4 * want.max())
            else:
                assert np.isfinite(images).all() and images.max() > 0


def test_export_takes_masks_of_points(points, tmp_path, call):
    _, run = points
    path = tmp_path / "net.bin"
    assert call("export", run, "--out", path, "--model", "dccnn").code == 0
    side = json.loads((tmp_path / "net.bin.json").read_text())
    assert side["inputs"]["mask"].startswith("float32 (b, 24, 32)")
    function = jax.export.deserialize(bytearray(path.read_bytes()))
    image = function.call(np.ones((3, 24, 32), np.complex64), np.ones((3, 24, 32), np.float32))
    assert image.shape == (3, 24, 32) and np.isfinite(image).all()


def test_the_report_shows_the_mask(points):
    _, run = points
    assert "noise: 0.05" in (run / "report.html").read_text()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["train.rows", "search.rows"])
@pytest.mark.parametrize("setting", ["site", "clients", "one client"])
def test_strips_of_rows_are_refused(kind, key, setting, tiny, tiny_federated, tmp_path, call):
    asked = [f"{key}=8", f"acquisition.mask={kind}"]
    if setting == "one client":
        own = f"{{mask: {kind}, accelerations: [3], center_fractions: [0.3]}}"
        asked[1] = (
            "federated.clients=[{name: a, volumes: ['*_T1']}, "
            f"{{name: b, volumes: ['*_T2'], acquisition: {own}}}]"
        )
        asked.append("federated.partition=null")
    config = tiny if setting == "site" else tiny_federated
    result = call("run", config, "--workdir", tmp_path / "run", *settings(*asked))
    assert result.code == 2
    assert f"{key} is 8, but acquisition.mask {kind} undersamples both axes" in result.err
    assert "Traceback" not in result.err and not (tmp_path / "run").exists()


def test_clients_by_points_and_by_columns_and_noise(tiny_federated, tmp_path, call):
    own = "{mask: poisson, accelerations: [3], center_fractions: [0.3]}"
    noisy = "{accelerations: [2], center_fractions: [0.2], noise: 0.1}"
    asked = [
        "federated.partition=null",
        f"federated.clients=[{{name: a, volumes: ['*_T1'], acquisition: {own}}}, "
        f"{{name: b, volumes: ['*_T2'], acquisition: {noisy}}}]",
        "federated.methods=[{strategy: fedavg}]",
        "federated.rounds=1",
        "federated.search_rounds=2",
        "federated.participation=1",
        "train.validate_every=1",
    ]
    done = call("run", tiny_federated, "--workdir", tmp_path / "run", "--quiet", *settings(*asked))
    assert done.code == 0, done.err
    masks = {
        name: read_examples(RunDir(tmp_path / "run").client_examples(name))[0].mask.shape
        for name in "ab"
    }
    assert masks == {"a": (16, 16), "b": (16,)}
