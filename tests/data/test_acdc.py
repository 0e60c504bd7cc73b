"""ACDC: what is read, from which file, on which axes, and what is written back."""

from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest

from jaxnas.data.acdc import AcdcSource
from jaxnas.data.annotation import LabeledSource, patient_names, volume_indices
from jaxnas.data.nifti import read_grid, read_voxels, write_labels
from tests.data.acdc_files import (
    AFFINE,
    INFO,
    SHAPE,
    random_image,
    random_labels,
    save,
    write_cines,
    write_patient,
)


@pytest.fixture
def patient(tmp_path):
    return write_patient(tmp_path, 7)


def phases(source):
    return [ref.phase for ref in source.volumes]


def test_a_volume_is_what_nibabel_says(patient):
    source = AcdcSource(patient)
    assert isinstance(source, LabeledSource)
    assert source.volumes == (
        ("patient007_frame01", "patient007", "ED", (3, 10, 13), "HCM", True),
        ("patient007_frame04", "patient007", "ES", (3, 10, 13), "HCM", True),
    )
    volume = source.read(1)
    assert (volume.name, volume.phase, volume.group) == ("patient007_frame04", "ES", "HCM")
    assert volume.image.dtype == np.float32 and volume.labels.dtype == np.uint8
    image, labels = random_image(4), random_labels(104)
    for z, y, x in np.ndindex(3, 10, 13):
        assert volume.image[z, y, x] == image[x, y, z]
        assert volume.labels[z, y, x] == labels[x, y, z]
    np.testing.assert_allclose(volume.affine, AFFINE, rtol=1e-6)
    assert volume.spacing == pytest.approx(np.linalg.norm(AFFINE[:3, :3], axis=0)[::-1])


@pytest.mark.parametrize(
    "parts", ["", "training", "testing", "database", "database/training", "database/testing"]
)
def test_where_patients_are_found(tmp_path, parts):
    for number in (12, 3):
        write_patient(tmp_path / parts, number)
    (tmp_path / parts / "MANDATORY_CITATION.md").write_text("cite")
    (tmp_path / parts / "other").mkdir()
    assert patient_names(AcdcSource(tmp_path)) == ("patient003", "patient012")


def test_several_paths_and_both_halves(tmp_path):
    write_patient(tmp_path / "training", 1)
    write_patient(tmp_path / "testing", 101)
    extra = write_patient(tmp_path / "elsewhere", 55)
    source = AcdcSource([tmp_path, extra])
    assert patient_names(source) == ("patient001", "patient101", "patient055")
    assert volume_indices(source, ["patient055", "patient001"]) == (0, 1, 4, 5)


def test_more_labels_than_two(tmp_path):
    path = write_patient(tmp_path, 1, frames=(1, 2, 4), labelled=(1, 2, 4))
    assert phases(AcdcSource(path)) == ["ED", "frame02", "ES"]
    assert phases(AcdcSource(path, phases="ed_es")) == ["ED", "ES"]
    np.testing.assert_array_equal(AcdcSource(path).read(1).labels, random_labels(102).T)


def test_labels_of_a_whole_cine(tmp_path):
    path = write_patient(tmp_path, 1, frames=(), labelled=())
    write_cines(path, labels=True)
    source = AcdcSource(path)
    assert phases(source) == ["ED", "frame02", "frame03", "ES", "frame05"]
    for t, ref in enumerate(source.volumes, 1):
        volume = source.read(t - 1)
        assert volume.name == ref.name == f"patient001_frame{t:02d}"
        np.testing.assert_array_equal(volume.image, random_image(t).T)
        np.testing.assert_array_equal(volume.labels, random_labels(100 + t).T)


def test_a_frame_without_a_file_comes_from_the_cine(tmp_path):
    path = write_patient(tmp_path, 1, frames=(1,), labelled=(1, 3, 4))
    write_cines(path, labels=False)
    source = AcdcSource(path)
    assert phases(source) == ["ED", "frame03", "ES"]
    np.testing.assert_array_equal(source.read(1).image, random_image(3).T)
    np.testing.assert_array_equal(source.read(1).labels, random_labels(103).T)


def test_a_patient_without_labels(tmp_path):
    source = AcdcSource(write_patient(tmp_path, 101, labelled=()))
    assert [ref.labeled for ref in source.volumes] == [False, False]
    assert source.read(0).labels is None


@pytest.mark.parametrize("shape", [(9, 8, 1), (9, 8), (9, 8, 1, 1)])
def test_one_slice(tmp_path, shape):
    source = AcdcSource(write_patient(tmp_path, 1, shape=shape))
    assert source.volumes[0].shape == source.read(0).image.shape == (1, 8, 9)
    np.testing.assert_array_equal(source.read(0).image[0], random_image(1, shape).reshape(9, 8).T)


def test_info_may_be_untidy(tmp_path):
    untidy = "Group:NOR\n\nES :  4 \n  ED:1\nnonsense\n"
    source = AcdcSource(write_patient(tmp_path, 1, info=untidy))
    assert phases(source) == ["ED", "ES"] and source.volumes[0].group == "NOR"
    late = AcdcSource(
        write_patient(tmp_path, 2, info=INFO.replace("1", "4", 1).replace("4\nG", "1\nG"))
    )
    assert phases(late) == ["ES", "ED"], "in the order of time"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_info_in_any_encoding(tmp_path, encoding, end):
    path = write_patient(tmp_path, 1)
    text = end.join(["ED: 1 ", "ES:\t4 # end of systole", "Group: Grün  # nobody's", ""])
    (path / "Info.cfg").write_bytes(text.encode(encoding))
    source = AcdcSource(path)
    assert phases(source) == ["ED", "ES"] and source.volumes[0].group == "Grün"


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("off", [0.0, 9e-4, -9e-4])
def test_labels_that_are_almost_whole(tmp_path, dtype, off):
    path = write_patient(tmp_path, 1)
    save(path / "patient001_frame04_gt.nii.gz", random_labels(104) + dtype(off), dtype)
    np.testing.assert_array_equal(AcdcSource(path).read(1).labels, random_labels(104).T)


def test_scaled_voxels(tmp_path):
    path = write_patient(tmp_path, 1)
    image = nibabel.Nifti1Image(random_image(1).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, path / "patient001_frame01.nii.gz")
    want = nibabel.load(path / "patient001_frame01.nii.gz").get_fdata()
    np.testing.assert_allclose(AcdcSource(path).read(0).image, want.T, rtol=1e-6)


def test_uncompressed_files_and_labels_as_floats(tmp_path):
    path = write_patient(tmp_path, 1, frames=(1,), labelled=(1,))
    save(path / "patient001_frame04.nii", random_image(4), np.float64)
    save(path / "patient001_frame04_gt.nii", random_labels(104), np.float32)
    volume = AcdcSource(path).read(1)
    assert volume.image.dtype == np.float32 and volume.labels.dtype == np.uint8
    np.testing.assert_array_equal(volume.labels, random_labels(104).T)


def test_opening_reads_headers_only(patient):
    path = patient / "patient007_frame01.nii.gz"
    source = AcdcSource(patient)
    save(path, random_image(9), np.int16)
    np.testing.assert_array_equal(source.read(0).image, random_image(9).T)


def test_many_threads_read_at_once(tmp_path):
    path = write_patient(tmp_path, 1, frames=(), labelled=())
    write_cines(path, labels=True)
    source = AcdcSource(path)
    with ThreadPoolExecutor(8) as pool:
        for i, volume in zip([0, 3, 1, 4, 2] * 8, pool.map(source.read, [0, 3, 1, 4, 2] * 8)):
            np.testing.assert_array_equal(volume.image, random_image(i + 1).T)
            np.testing.assert_array_equal(volume.labels, random_labels(101 + i).T)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("code", [1, 2])
def test_written_labels_lie_on_the_source(tmp_path, suffix, code):
    source = save(tmp_path / "image.nii.gz", random_image(0), np.int16, code=code)
    labels = random_labels(1).T.astype(np.uint8)
    path = write_labels(tmp_path / f"out{suffix}", labels, like=source)
    written, original = nibabel.load(path), nibabel.load(source)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), labels.T)
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(written.affine, original.affine)
    for field in ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"):
        np.testing.assert_array_equal(written.header[field], original.header[field])
    np.testing.assert_array_equal(read_voxels(path, read_grid(path)), labels)
    assert read_grid(path)[:2] == read_grid(source)[:2]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["image.nii.gz", path.name])


def test_a_qform_alone_is_kept(tmp_path):
    rotation = np.array([[0.0, -2, 0, 5], [2, 0, 0, -7], [0, 0, 9, 1], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(random_image(0).astype(np.int16), None)
    image.set_qform(rotation, 1)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "q.nii.gz")
    labels = np.zeros(read_grid(tmp_path / "q.nii.gz").shape, np.uint8)
    written = nibabel.load(write_labels(tmp_path / "o.nii.gz", labels, like=tmp_path / "q.nii.gz"))
    assert written.shape == SHAPE
    np.testing.assert_allclose(written.affine, rotation, atol=1e-5)
    assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (1, 0)


def test_the_scaling_of_the_image_is_not_that_of_the_labels(tmp_path):
    image = nibabel.Nifti1Image(random_image(0).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.25, 10)
    image.header["cal_max"] = 900
    nibabel.save(image, tmp_path / "i.nii")
    labels = random_labels(1).T
    path = write_labels(tmp_path / "o.nii", labels, like=tmp_path / "i.nii")
    np.testing.assert_array_equal(nibabel.load(path).get_fdata(), labels.T)
    assert nibabel.load(path).header["cal_max"] == 0


def test_labels_of_a_cine_keep_its_time_step(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((*SHAPE, 4), np.int16), AFFINE)
    image.header.set_zooms((*image.header.get_zooms()[:3], 0.045))
    nibabel.save(image, tmp_path / "c.nii.gz")
    labels = np.stack([random_labels(t).T for t in range(4)])
    path = write_labels(tmp_path / "o.nii.gz", labels, like=tmp_path / "c.nii.gz")
    written = nibabel.load(path)
    assert written.shape == (*SHAPE, 4)
    assert written.header.get_zooms()[3] == pytest.approx(0.045)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj)[..., 2], labels[2].T)


def test_equal_labels_make_equal_files(tmp_path):
    source = save(tmp_path / "image.nii.gz", random_image(0), np.int16)
    labels = random_labels(1).T
    first, second = (write_labels(tmp_path / f"{n}.nii.gz", labels, like=source) for n in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_labels_of_another_grid(tmp_path):
    source = save(tmp_path / "image.nii.gz", random_image(0), np.int16)
    with pytest.raises(ValueError, match="expected labels on the grid"):
        write_labels(tmp_path / "o.nii.gz", np.zeros(SHAPE, np.uint8), like=source)
