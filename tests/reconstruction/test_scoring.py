"""Evaluation: the same scores as by hand, whatever the batch; files with equal bytes."""

import csv
import io
import json

import jax
import numpy as np
import pytest
from flax import linen as nn

from jaxnas.core.errors import UserError
from jaxnas.data.source import Slice, SliceRef
from jaxnas.data.transforms import centered_fft2
from jaxnas.engine.rundir import RunDir
from jaxnas.metrics import image as metrics
from jaxnas.mri.acquisition import zero_filled
from jaxnas.mri.masks import make_mask
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.reconstruction.evaluate import ReconstructionEvaluator
from jaxnas.reconstruction.rows import slices_csv
from jaxnas.reconstruction.scoring import (
    SliceScore,
    classical_reconstructors,
    evaluate_reconstruction,
    network_reconstructor,
)
from jaxnas.reconstruction.section import EvaluateConfig, ReconstructionConfig, TvConfig

ACQUISITION = AcquisitionConfig(accelerations=(2.0, 3.5), center_fractions=(0.2, 0.12))
SHAPES = {"a.h5": (5, 16, 20), "b.h5": (2, 17, 20)}
UNITS = 1e-4  # of the file


class Volumes:
    """Two volumes of smooth images in the file's units; slice 4 of the first is empty."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.slices = tuple(
            SliceRef(name, s, shape[1:], 1)
            for name, shape in SHAPES.items()
            for s in range(shape[0])
        )
        self.images = [
            UNITS * (1 + np.cumsum(rng.normal(size=(2, *ref.shape)), axis=-1)[0] / 9)
            for ref in self.slices
        ]
        self.images[4] = np.zeros((16, 20))
        self.reads = 0

    def read(self, i):
        """Slice i, fully sampled."""
        self.reads += 1
        ref = self.slices[i]
        kspace = centered_fft2(self.images[i].astype(np.complex64))
        return Slice(kspace, None, None, ref.volume, ref.index)


class Scale(nn.Module):
    """Zero filling times a weight."""

    @nn.compact
    def __call__(self, measurement):
        """Image (B, H, W)."""
        return self.param("weight", nn.initializers.constant(0.9), ()) * zero_filled(measurement)


def evaluate(*, batch=2, indices=range(7), source=None, **methods):
    """Zero filling and the network `Scale` over the volumes."""
    net = network_reconstructor(Scale(), {"weight": np.float32(0.9)})
    methods = {"zero_filled": zero_filled, "scale": net} | methods
    return evaluate_reconstruction(
        methods, source or Volumes(), tuple(indices), ACQUISITION, batch=batch
    )


@pytest.fixture(scope="module")
def evaluation():
    """The scores with a batch that does not divide the volumes."""
    return evaluate()


def by_hand(name, acceleration, fraction):
    """Target and zero-filled magnitudes of a volume, in NumPy."""
    source = Volumes()
    rows = [i for i, ref in enumerate(source.slices) if ref.volume == name]
    mask = make_mask(
        "random", (1, 20), accelerations=[acceleration], center_fractions=[fraction], seed=name
    ).samples
    kspace = np.stack([source.read(i).kspace for i in rows]) * mask
    inverse = np.fft.ifft2(np.fft.ifftshift(kspace, (1, 2)), norm="ortho")
    target = np.abs(np.stack([source.images[i] for i in rows]))
    return target, np.abs(np.fft.fftshift(inverse, (1, 2)))


@pytest.mark.parametrize(("acceleration", "fraction"), [(2, 0.2), (3.5, 0.12)])
@pytest.mark.parametrize("name", SHAPES)
def test_scores_are_those_computed_by_hand(evaluation, name, acceleration, fraction):
    target, image = by_hand(name, acceleration, fraction)
    place = ("zero_filled", name, acceleration)
    scores = {s.slice: s for s in evaluation.slices if (s.model, s.volume, s.acceleration) == place}
    assert list(scores) == [s for s in range(len(target)) if target[s].any()]
    for s, score in scores.items():
        limits = {"data_range": target[s].max()}
        np.testing.assert_allclose(score.mse, metrics.mse(target[s], image[s]), rtol=1e-3)
        np.testing.assert_allclose(score.nmse, metrics.nmse(target[s], image[s]), rtol=1e-3)
        np.testing.assert_allclose(score.psnr, metrics.psnr(target[s], image[s], **limits), 1e-4)
        np.testing.assert_allclose(score.ssim, metrics.ssim(target[s], image[s], **limits), 1e-4)
    (volume,) = (v for v in evaluation.volumes if (v.model, v.volume, v.acceleration) == place)
    np.testing.assert_allclose(volume.nmse, metrics.volume_nmse(target, image), rtol=1e-3)
    np.testing.assert_allclose(volume.psnr, metrics.volume_psnr(target, image), rtol=1e-4)
    np.testing.assert_allclose(volume.ssim, metrics.volume_ssim(target, image), rtol=1e-4)


def test_padding_never_shows(evaluation):
    whole = evaluate(batch=8)
    for a, b in zip(evaluation.slices, whole.slices):
        assert a[:4] == b[:4]
        np.testing.assert_allclose(a[4:], b[4:], rtol=1e-5)


def test_files_have_equal_bytes(evaluation):
    again = evaluate()
    for write in (lambda e: slices_csv(e.slices), lambda e: json.dumps(rows_of(e, "scale"))):
        assert write(again) == write(evaluation)


def test_slices_csv(evaluation):
    rows = list(csv.DictReader(io.StringIO(slices_csv(evaluation.slices))))
    assert list(rows[0]) == [*SliceScore._fields]
    assert len(rows) == 2 * 2 * 6
    assert {row["acceleration"] for row in rows} == {"2", "3.5"}
    np.testing.assert_allclose(float(rows[0]["psnr"]), evaluation.slices[0].psnr, rtol=1e-6)


def rows_of(evaluation, name):
    """The rows of a contender at one site."""
    return ReconstructionEvaluator(ReconstructionConfig()).rows(name, [evaluation])


def test_rows_of_a_contender(evaluation):
    assert [row["acceleration"] for row in rows_of(evaluation, "zero_filled")] == [2, 3.5, "all"]
    rows = rows_of(evaluation, "scale")
    assert [row["n"] for row in rows] == [6, 6, 12]
    values = [s.psnr for s in evaluation.slices if s.model == "scale"]
    np.testing.assert_allclose(rows[2]["psnr"]["mean"], np.mean(values), rtol=1e-6)
    np.testing.assert_allclose(rows[2]["psnr"]["std"], np.std(values), rtol=1e-5)
    volumes = [v.ssim for v in evaluation.volumes if (v.model, v.acceleration) == ("scale", 2)]
    np.testing.assert_allclose(rows[0]["volume"]["ssim"]["mean"], np.mean(volumes), rtol=1e-6)


def test_a_broken_method_has_no_scores_instead_of_false_ones():
    broken = evaluate(indices=(0, 1), broken=lambda m: zero_filled(m) * np.float32("nan"))
    row = rows_of(broken, "broken")[-1]
    assert row["n"] == 4
    assert row["psnr"] == {"mean": None, "std": None}
    json.dumps(row, allow_nan=False)


def test_examples_are_a_middle_slice_in_file_units(evaluation, tmp_path):
    assert evaluation.pictured == {
        "2": {"volume": "a.h5", "slice": 2},
        "3.5": {"volume": "a.h5", "slice": 2},
    }
    RunDir(tmp_path).examples.write(evaluation.examples, evaluation.pictured)
    found = RunDir(tmp_path).examples.read()
    assert sorted(found) == sorted(
        f"{a}/{name}" for a in (2, 3.5) for name in ("target", "mask", "zero_filled", "scale")
    )
    assert found["2/mask"].shape == (20,) and found["2/mask"].dtype == np.float32
    target, image = by_hand("a.h5", 2, 0.2)
    np.testing.assert_allclose(found["2/target"], target[2], rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(found["2/zero_filled"], image[2], rtol=1e-4, atol=1e-9)


def test_every_slice_is_read_once_and_each_shape_traced_once():
    traces, source = [], Volumes()

    def method(measurement):
        traces.append(measurement.kspace.shape)
        return zero_filled(measurement)

    evaluate(source=source, method=method)
    assert traces == [(2, 16, 20), (2, 17, 20)]
    assert source.reads == 8  # seven slices and the padding of one


def test_classical_methods():
    config = EvaluateConfig(classical=("tv", "zero_filled"), tv=TvConfig(weight=0.01, iterations=3))
    methods = classical_reconstructors(config)
    assert list(methods) == ["tv", "zero_filled"]
    scores = evaluate(indices=(5, 6), **methods)
    assert all(np.isfinite(s.psnr) for s in scores.slices)


def test_no_slices_is_an_error():
    with pytest.raises(UserError, match="test split is empty"):
        evaluate(indices=())


def test_undersampled_slices_are_refused():
    source = Volumes()
    read = source.read
    source.read = lambda i: read(i)._replace(mask=np.ones(20, bool))
    with pytest.raises(UserError, match=r"volume 'a\.h5' is undersampled"):
        evaluate(source=source)


def test_weights_are_arguments_not_constants():
    net = Scale()
    a, b = (network_reconstructor(net, {"weight": np.float32(w)}) for w in (1, 2))
    assert jax.tree.leaves(a) == [1] and jax.tree.leaves(b) == [2]
    assert jax.tree.structure(a) == jax.tree.structure(b)


def test_empty_slices_have_no_score_and_are_counted(capsys):
    biased = network_reconstructor(Biased(), {"bias": np.float32(2)})
    found = evaluate(biased=biased)
    assert "1 of 7 slices to evaluate are empty" in capsys.readouterr().err
    places = {(score.volume, score.slice) for score in found.slices}
    assert len(places) == 6 and ("a.h5", 4) not in places
    assert np.isfinite([score[-4:] for score in found.slices]).all()
    assert np.isfinite([score[-3:] for score in found.volumes]).all()
    assert found.pictured["2"]["slice"] == 2


def test_a_picture_is_of_a_slice_that_shows_something():
    source = Volumes()
    source.images[2] = source.images[4]
    assert evaluate(source=source).pictured["2"]["slice"] in {1, 3}


class Biased(nn.Module):
    """An image of one value, whatever was measured."""

    @nn.compact
    def __call__(self, measurement):
        """Image (B, H, W)."""
        bias = self.param("bias", nn.initializers.constant(2.0), ())
        return zero_filled(measurement) * 0 + bias


@pytest.mark.parametrize("factor", [1e30, 1e-26])
def test_scores_of_numbers_whose_squares_leave_float32(factor):
    source = Volumes()
    source.images = [image * np.float64(factor) for image in source.images]
    usual, far = evaluate().slices, evaluate(source=source).slices
    scores = [[(s.nmse, s.psnr, s.ssim) for s in own] for own in (usual, far)]
    np.testing.assert_allclose(*scores, rtol=1e-3)
    np.testing.assert_allclose([s.mse for s in far], [s.mse * factor**2 for s in usual], rtol=1e-3)
