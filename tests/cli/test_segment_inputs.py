"""`jaxnas segment` on files of all kinds: labels lie on the voxels of the file, as it is stored.

The network is a threshold on the prepared image, so that labels are known and nothing compiles.
"""

from itertools import permutations, product
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from jaxnas.cli import segment as command
from jaxnas.data.prepare import Preparation
from jaxnas.segmentation.apply import FrameLatency, SegmentedFrame
from tests.data.test_grid import STRAIGHT, stored_as, write

SHAPE = (13, 10, 3)
VOXELS = np.random.default_rng(5).integers(0, 900, SHAPE)
CINE = np.stack([VOXELS, VOXELS[::-1], VOXELS // 2], -1)


class Threshold:
    """Stands in for a Predictor, and remembers what it was shown."""

    preparation = Preparation(spacing=1.5, size=(16, 16))

    def __init__(self):
        self.seen = []

    def stream(self, frames):
        for frame in frames:
            self.seen.append(frame)
            labels = (frame.image > 300) + 2 * (frame.image > 600)
            yield SegmentedFrame(labels.astype(np.uint8), FrameLatency(1.0, 1.0, 1.0))


@pytest.fixture
def apply(tmp_path, monkeypatch, call):
    """Segments files; the result, and the predictor with what it has seen."""
    predictor = Threshold()
    opened = SimpleNamespace(config=SimpleNamespace(latency=SimpleNamespace(min_fps=22.0)))
    monkeypatch.setattr(command, "open_run", lambda *_, **__: opened)
    monkeypatch.setattr(command, "load_predictor", lambda *_, **__: predictor)

    def run(*files):
        return call("segment", tmp_path, *files, "--out", tmp_path / "out"), predictor

    return run


def expect(result, source, out):
    """Labels of every voxel are those of its intensity, on the very grid of the source."""
    assert result.code == 0, result.err
    image, found = nibabel.load(source), nibabel.load(out / source.name)
    assert found.shape == image.shape and found.get_data_dtype() == np.uint8
    voxels = np.asanyarray(image.dataobj)
    np.testing.assert_array_equal(found.dataobj, (voxels > 300) + 2 * (voxels > 600))
    np.testing.assert_array_equal(found.affine, image.affine)
    for name in ("sform_code", "qform_code", "srow_x", "quatern_b", "xyzt_units", "pixdim"):
        np.testing.assert_array_equal(found.header[name], image.header[name])


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_axes_and_directions(apply, tmp_path, order):
    """The network sees slices whatever axis they lie across, with columns and rows in one order."""
    for number, flips in enumerate(product((False, True), repeat=3)):
        path = tmp_path / f"{number}.nii.gz"
        write(path, *stored_as(VOXELS, STRAIGHT, order, flips))
        result, predictor = apply(path)
        expect(result, path, tmp_path / "out")
        assert predictor.seen[-1].spacing == pytest.approx((9, 1.6, 1.4))
        turned = np.flip(VOXELS, np.flatnonzero(flips))
        np.testing.assert_array_equal(predictor.seen[-1].image, turned.T)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_axes_of_a_cine(apply, tmp_path, order):
    voxels = np.stack([stored_as(CINE[..., t], STRAIGHT, order, (0, 0, 0))[0] for t in range(3)], 3)
    path = write(tmp_path / "c.nii.gz", voxels, stored_as(VOXELS, STRAIGHT, order, (0, 0, 0))[1])
    result, predictor = apply(path)
    expect(result, path, tmp_path / "out")
    for t, frame in enumerate(predictor.seen):
        np.testing.assert_array_equal(frame.image, CINE[..., t].T)


@pytest.mark.parametrize("unit", ["meter", "mm", "micron", "unknown"])
def test_units(apply, tmp_path, unit):
    scale = {"meter": 1e-3, "micron": 1e3}.get(unit, 1.0)
    matrix = np.diag([scale, scale, scale, 1.0]) @ STRAIGHT
    path = write(tmp_path / "a.nii.gz", VOXELS, matrix, unit=unit)
    result, predictor = apply(path)
    expect(result, path, tmp_path / "out")
    assert predictor.seen[0].spacing == pytest.approx((9, 1.6, 1.4))


@pytest.mark.parametrize(
    "shape", [SHAPE, (1, *SHAPE), (1, 1, *SHAPE), (*SHAPE, 1), (*SHAPE, 1, 1), (1, *SHAPE, 1)]
)
def test_unit_axes(apply, tmp_path, shape):
    path = write(tmp_path / "a.nii.gz", VOXELS.reshape(shape), np.diag([1.5, 1.5, 9, 1]))
    result, predictor = apply(path)
    expect(result, path, tmp_path / "out")
    np.testing.assert_array_equal(predictor.seen[0].image, VOXELS.T)


@pytest.mark.parametrize("kind", ["nifti2", "big-endian", "scaled", "qform"])
def test_headers(apply, tmp_path, kind):
    image = nibabel.Nifti1Image(VOXELS.astype(np.int16), STRAIGHT)
    if kind == "nifti2":
        image = nibabel.Nifti2Image(VOXELS.astype(np.int16), STRAIGHT)
    elif kind == "big-endian":
        header = nibabel.Nifti1Header(endianness=">")
        image = nibabel.Nifti1Image(VOXELS.astype(np.int16), STRAIGHT, header)
    elif kind == "scaled":
        image.header.set_slope_inter(0.5, 3)
    else:
        image.set_qform(STRAIGHT, 1)
        image.set_sform(None, 0)
    path = tmp_path / "a.nii"
    nibabel.save(image, path)
    expect(apply(path)[0], path, tmp_path / "out")
    assert nibabel.load(tmp_path / "out" / "a.nii").header.sizeof_hdr == image.header.sizeof_hdr


def test_another_size_in_pixdim_is_said_once(apply, tmp_path):
    paths = [
        write(tmp_path / f"{n}.nii", VOXELS, STRAIGHT, pixdim=[1, 1, 1, 1, 1, 1, 1, 1])
        for n in "ab"
    ]
    paths.append(write(tmp_path / "c.nii", VOXELS, STRAIGHT))
    result, predictor = apply(*paths)
    for path in paths:
        expect(result, path, tmp_path / "out")
    assert {frame.spacing for frame in predictor.seen} == {predictor.seen[0].spacing}
    warnings = [line for line in result.err.splitlines() if "warning" in line]
    assert len(warnings) == 1 and f"{paths[0]} (and 1 more)" in warnings[0]


BAD = {
    "too large": (lambda p: write(p, VOXELS, np.diag([1400.0, 1600, 9000, 1])), "to 1.5 mm"),
    "too small": (lambda p: write(p, VOXELS, np.diag([1.4e-3, 1.6e-3, 9e-3, 1])), "to 1.5 mm"),
    "vectors": (lambda p: write(p, np.zeros((5, 4, 3, 2, 2)), np.eye(4)), "expected (X, Y, Z)"),
    "colours": (
        lambda p: nibabel.save(
            nibabel.Nifti1Image(np.zeros(SHAPE, [(c, "u1") for c in "RGB"]), STRAIGHT), p
        ),
        "expected real numbers",
    ),
    "no NIfTI": (lambda p: p.write_bytes(b"no NIfTI at all"), "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_before_the_first_is_segmented(apply, tmp_path, case):
    make, part = BAD[case]
    good = write(tmp_path / "a.nii.gz", VOXELS, STRAIGHT)
    make(tmp_path / "b.nii.gz")
    result, predictor = apply(good, tmp_path / "b.nii.gz")
    assert result.code == 2 and result.err.count("\n") == 1
    assert f"{tmp_path / 'b.nii.gz'}: " in result.err and part in result.err
    assert not predictor.seen and not (tmp_path / "out").exists()


def test_a_pair_of_files_is_refused(apply, tmp_path):
    nibabel.save(nibabel.Nifti1Pair(VOXELS.astype(np.int16), STRAIGHT), tmp_path / "a.img")
    result, predictor = apply(tmp_path / "a.img")
    assert result.code == 2 and "no single NIfTI file" in result.err and not predictor.seen
