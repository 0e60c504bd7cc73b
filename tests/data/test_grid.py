"""Where voxels lie: 48 ways to store a volume, units, unit axes, and labels on other grids."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.acdc import AcdcSource
from jaxnas.data.nifti import read_grid, read_voxels, spacing_remark, write_labels
from tests.data.acdc_files import SHAPE, random_image, random_labels, save, write_patient
from tests.data.clear import assert_one_clear_sentence

STRAIGHT = np.array([[-1.4, 0, 0, 31.0], [0, -1.6, 0, 62.5], [0, 0, 9, -18.0], [0, 0, 0, 1]])
TURNS = {"straight": np.eye(3)}
for _name, _angle in (("tilted", 0.3), ("oblique", 0.75)):
    _c, _s = np.cos(_angle), np.sin(_angle)
    TURNS[_name] = np.array([[_c, -_s, 0], [_s, _c, 0], [0, 0, 1]]) @ np.array(
        [[1, 0, 0], [0, _c, _s], [0, -_s, _c]]
    )
STORED = [(p, f) for p in permutations(range(3)) for f in product((False, True), repeat=3)]


def affine(turn="straight"):
    matrix = STRAIGHT.copy()
    matrix[:3] = TURNS[turn] @ matrix[:3]
    return matrix


def stored_as(voxels, matrix, order, flips):
    """The same voxels at the same places with their axes (x, y, z) in `order`, some of them
    turned round."""
    matrix = matrix.copy()
    for axis in np.flatnonzero(flips):
        matrix[:3, 3] += (voxels.shape[axis] - 1) * matrix[:3, axis]
        matrix[:3, axis] *= -1
    turned = np.flip(voxels, [axis for axis in range(3) if flips[axis]])
    return turned.transpose(order), matrix[:, [*order, 3]]


def write(path, voxels, matrix, dtype=np.int16, *, unit="mm", **header):
    image = nibabel.Nifti1Image(np.asarray(voxels).astype(dtype), matrix)
    image.header.set_xyzt_units(unit, "sec")
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("turn", TURNS)
def test_labels_stored_in_any_of_48_ways_are_the_same(tmp_path, turn):
    image, labels = random_image(1), random_labels(2)
    folder = write_patient(tmp_path, 1)
    for t in (1, 4):
        write(folder / f"patient001_frame{t:02d}.nii.gz", image, affine(turn))
    for order, flips in STORED:
        for t in (1, 4):
            path = folder / f"patient001_frame{t:02d}_gt.nii.gz"
            write(path, *stored_as(labels, affine(turn), order, flips), np.uint8)
        volume = AcdcSource(folder).read(1)
        np.testing.assert_array_equal(volume.labels, labels.T)
        np.testing.assert_array_equal(volume.image, image.T)


@pytest.mark.parametrize("turn", TURNS)
def test_images_stored_in_any_of_48_ways_keep_their_labels(tmp_path, turn):
    """A voxel of the image has the label of its place, slices are slices, and what is written lies
    where it was computed."""
    image, labels = random_image(1), random_labels(2)
    folder = write_patient(tmp_path, 1)
    for order, flips in STORED:
        voxels, matrix = stored_as(image, affine(turn), order, flips)
        source = folder / "patient001_frame01.nii.gz"
        write(source, voxels, matrix)
        write(folder / "patient001_frame01_gt.nii.gz", labels, affine(turn), np.uint8)
        volume = AcdcSource(folder).read(0)
        assert len(volume.image) == 3 and volume.spacing[0] == 9
        inside = np.lexsort((volume.labels.ravel(), volume.image.ravel()))
        known = np.lexsort((labels.ravel(), image.ravel()))
        np.testing.assert_array_equal(volume.image.ravel()[inside], image.ravel()[known])
        np.testing.assert_array_equal(volume.labels.ravel()[inside], labels.ravel()[known])
        for z, y, x in ((0, 0, 0), (2, 3, 5)):
            place = np.linalg.solve(affine(turn), volume.affine @ (x, y, z, 1))[:3]
            assert volume.image[z, y, x] == image[tuple(np.rint(place).astype(int))]
        written = nibabel.load(write_labels(tmp_path / "o.nii.gz", volume.labels, like=source))
        np.testing.assert_array_equal(written.dataobj, stored_as(labels, matrix, order, flips)[0])
        np.testing.assert_array_equal(written.affine, nibabel.load(source).affine)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_columns_and_rows_are_those_of_the_scanner(tmp_path, order):
    """Whatever the order of the axes, a file that says how it lies is read as the plain one."""
    for turn in ("straight", "tilted"):
        voxels, matrix = stored_as(random_image(1), affine(turn), order, (False,) * 3)
        path = write(tmp_path / "a.nii.gz", voxels, matrix)
        grid = read_grid(path)
        np.testing.assert_array_equal(read_voxels(path, grid), random_image(1).T)
        np.testing.assert_allclose(grid.affine, affine(turn), atol=1e-5)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("sizes", [(1.4, 1.6, 9), (1.5, 1.5, 1.5), (2.0, 1.5, 1.8)])
def test_files_with_their_slices_last_stay_as_they_are(tmp_path, turn, sizes):
    for signs in product((-1, 1), repeat=3):
        matrix = np.eye(4)
        matrix[:3, :3] = TURNS[turn] @ np.diag(np.multiply(signs, sizes))
        path = write(tmp_path / "a.nii.gz", random_image(1), matrix)
        grid = read_grid(path)
        assert grid.axes == (0, 1, 2) and grid.spacing == pytest.approx(sizes[::-1])
        np.testing.assert_array_equal(read_voxels(path, grid), random_image(1).T)


@pytest.mark.parametrize(
    ("shape", "sizes", "expected"),
    [
        ((13, 10), (1.5, 1.5, 10), (1, 10, 13)),
        ((13, 10, 1), (1.5, 1.5, 1.5), (1, 10, 13)),
        ((1, 13, 10), (1.5, 1.5, 1.5), (1, 10, 13)),
        ((13, 1, 10), (1.5, 1.5, 1.5), (1, 10, 13)),
        ((13, 10, 3, 1), (1.5, 1.5, 10), (3, 10, 13)),
        ((13, 10, 3, 1, 1), (1.5, 1.5, 10), (3, 10, 13)),
        ((13, 10, 3, 5, 1), (1.5, 1.5, 10), (5, 3, 10, 13)),
        ((13, 10, 3, 1, 5), (1.5, 1.5, 10), (5, 3, 10, 13)),
        ((1, 13, 10, 3), (1.5, 1.5, 10), (3, 10, 13)),
        ((1, 13, 10, 3), (1, 1, 1), (3, 10, 13)),
        ((1, 1, 13, 10, 3), (1.5, 1.5, 10), (3, 10, 13)),
        ((1, 13, 10, 3, 5), (1.5, 1.5, 10), (5, 3, 10, 13)),
        ((1, 3, 13, 10), (10, 1.5, 1.5), (10, 1, 13, 3)),
        ((1, 13, 10, 5), (10, 1.5, 1.5), (5, 1, 10, 13)),
        ((3, 13, 10, 5), (10, 1.5, 1.5), (5, 3, 10, 13)),
    ],
)
def test_unit_axes(tmp_path, shape, sizes, expected):
    """Axes of length 1 are dropped, and are there again in what is written."""
    voxels = np.arange(np.prod(shape)).reshape(shape)
    path = write(tmp_path / "a.nii.gz", voxels, np.diag([*sizes, 1.0]))
    grid = read_grid(path)
    read = read_voxels(path, grid)
    assert grid.shape == read.shape == expected and grid.spacing == pytest.approx(
        sorted(sizes, reverse=True)
    )
    if len(expected) == 4:
        for t in range(expected[0]):
            np.testing.assert_array_equal(read_voxels(path, grid, frame=t), read[t])
    written = nibabel.load(write_labels(tmp_path / "o.nii.gz", read % 4, like=path))
    assert written.shape == nibabel.load(path).shape
    np.testing.assert_array_equal(written.dataobj, nibabel.load(path).get_fdata() % 4)


@pytest.mark.parametrize("shape", [(8, 7, 3, 3, 4), (8, 7, 3, 4, 2, 1), (8, 0, 3)])
def test_vectors_and_empty_files(tmp_path, shape):
    path = write(tmp_path / "a.nii.gz", np.zeros(shape), np.eye(4))
    with pytest.raises(UserError) as error:
        read_grid(path)
    assert_one_clear_sentence(str(error.value), path)


def test_a_vector_field_is_no_cine(tmp_path):
    path = write(tmp_path / "a.nii.gz", np.zeros((8, 7, 3, 1, 3)), np.eye(4), intent_code=1007)
    with pytest.raises(UserError, match="vectors"):
        read_grid(path)


@pytest.mark.parametrize("unit", ["meter", "mm", "micron", "unknown"])
def test_units(tmp_path, unit):
    """The same heart in another unit has the same spacing, and what is written keeps the unit."""
    scale = {"meter": 1e-3, "micron": 1e3}.get(unit, 1.0)
    matrix = np.diag([scale, scale, scale, 1.0]) @ STRAIGHT
    path = write(tmp_path / "a.nii.gz", random_image(1), matrix, unit=unit)
    grid = read_grid(path)
    assert grid.spacing == pytest.approx((9, 1.6, 1.4)) and grid.claimed is None
    np.testing.assert_allclose(grid.affine, STRAIGHT, rtol=1e-6)
    written = nibabel.load(write_labels(tmp_path / "o.nii", random_labels(1).T, like=path))
    np.testing.assert_array_equal(written.affine, nibabel.load(path).affine)
    assert written.header.get_xyzt_units() == (unit, "sec")
    for name in ("pixdim", "sform_code", "qform_code", "srow_x", "quatern_d"):
        np.testing.assert_array_equal(written.header[name], nibabel.load(path).header[name])


@pytest.mark.parametrize("pixdim", [0.0, -1.4, 1.0, 1.401])
def test_pixdim_that_is_not_that_of_the_affine(tmp_path, pixdim):
    """The affine is right; only another positive size is worth a word."""
    paths = [write(tmp_path / f"{n}.nii", random_image(1), STRAIGHT) for n in "abc"]
    for path in paths[:2]:
        content = bytearray(path.read_bytes())
        content[80:84] = np.float32(pixdim).tobytes()
        path.write_bytes(content)
    grids = {path: read_grid(path) for path in paths}
    assert {grid.spacing for grid in grids.values()} == {grids[paths[2]].spacing}
    remark = spacing_remark(grids)
    if pixdim == 1.0:
        assert str(paths[0]) in remark and "2 of 3 files" in remark and "\n" not in remark
        assert "9×1.6×1 mm" in remark and "9×1.6×1.4 mm" in remark
    else:
        assert remark is None


def test_a_file_without_forms_has_the_spacing_of_its_pixdim(tmp_path):
    image = nibabel.Nifti1Image(random_image(1).astype(np.int16), None)
    image.header.set_zooms((1.4, 1.6, 9))
    nibabel.save(image, tmp_path / "a.nii")
    grid = read_grid(tmp_path / "a.nii")
    assert grid.spacing == pytest.approx((9, 1.6, 1.4)) and not grid.placed


def moved(matrix, *, by):
    matrix = matrix.copy()
    matrix[:3, 3] += by
    return matrix


def turned_by(matrix, degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ matrix


OTHERS = {
    "origin": (moved(STRAIGHT, by=(-40, 20, 5)), "lies 45 mm away"),
    "a tenth of a pixel": (moved(STRAIGHT, by=(0.14, 0, 0)), "lies 0.14 mm away"),
    "spacing": (STRAIGHT * (0.5, 0.5, 0.5, 1), "voxels of 4.5×0.8×0.7 mm instead of 9×1.6×1.4 mm"),
    "thickness": (STRAIGHT * (1, 1, 0.98, 1), "voxels of 8.82×1.6×1.4 mm"),
    "half a degree": (turned_by(STRAIGHT, 0.5), "0.5 degrees off"),
    "45 degrees": (turned_by(STRAIGHT, 45), "degrees off"),
    "mirrored about the origin": (STRAIGHT * (-1, 1, 1, 1), "mm away"),
}


@pytest.mark.parametrize("case", OTHERS)
@pytest.mark.parametrize("cine", [False, True])
def test_labels_on_another_grid_are_refused(tmp_path, case, cine):
    matrix, part = OTHERS[case]
    folder = write_patient(tmp_path, 1, frames=(), labelled=())
    frames = ["_4d"] if cine else ["_frame01", "_frame04"]
    times = 4 if cine else 1
    for frame in frames:
        shape = (*SHAPE, times)
        write(folder / f"patient001{frame}.nii.gz", np.zeros(shape), STRAIGHT)
        write(folder / f"patient001{frame}_gt.nii.gz", np.zeros(shape), matrix, np.uint8)
    with pytest.raises(UserError) as error:
        AcdcSource(folder)
    message = str(error.value)
    assert part in message and f"{folder / f'patient001{frames[0]}.nii.gz'}" in message
    assert f"{folder / f'patient001{frames[0]}_gt.nii.gz'}" in message and "expected" in message


@pytest.mark.parametrize("by", [1e-4, 1e-6])
def test_roundings_of_an_affine_are_none_of_another_grid(tmp_path, by):
    folder = write_patient(tmp_path, 1)
    for t in (1, 4):
        path = folder / f"patient001_frame{t:02d}_gt.nii.gz"
        header = nibabel.load(path).affine
        save(path, random_labels(100 + t), np.uint8, affine=moved(header, by=(by, -by, by)))
    np.testing.assert_array_equal(AcdcSource(folder).read(0).labels, random_labels(101).T)


@pytest.mark.parametrize("units", [("meter", "mm"), ("mm", "micron")])
def test_labels_in_another_unit_lie_on_their_image(tmp_path, units):
    folder = write_patient(tmp_path, 1, frames=(), labelled=())
    for t, (suffix, unit) in product((1, 4), zip(("", "_gt"), units)):
        scale = {"meter": 1e-3, "mm": 1.0, "micron": 1e3}[unit]
        matrix = np.diag([scale, scale, scale, 1.0]) @ STRAIGHT
        path = folder / f"patient001_frame{t:02d}{suffix}.nii.gz"
        write(path, random_labels(t), matrix, unit=unit)
    np.testing.assert_array_equal(AcdcSource(folder).read(1).labels, random_labels(4).T)


@pytest.mark.parametrize("bare", ["image", "labels", "both"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_files_that_do_not_say_where_they_lie_are_stored_alike(tmp_path, bare, order):
    folder = write_patient(tmp_path, 1, frames=(), labelled=())
    for t, kind in product((1, 4), ("image", "labels")):
        voxels = (random_image if kind == "image" else random_labels)(t)
        voxels, matrix = stored_as(voxels, STRAIGHT, order, (False,) * 3)
        path = folder / f"patient001_frame{t:02d}{'_gt' * (kind == 'labels')}.nii.gz"
        write(path, voxels, None if bare in (kind, "both") else matrix)
    volume = AcdcSource(folder).read(0)
    pairs = set(zip(volume.image.ravel(), volume.labels.ravel()))
    assert pairs == set(zip(random_image(1).ravel(), random_labels(1).ravel()))


def test_other_sizes_without_forms_are_refused(tmp_path):
    folder = write_patient(tmp_path, 1)
    image = nibabel.Nifti1Image(random_labels(1).astype(np.uint8), None)
    image.header.set_zooms((1, 1, 5))
    nibabel.save(image, folder / "patient001_frame01_gt.nii.gz")
    with pytest.raises(UserError, match=r"voxels of 5×1×1 mm instead of"):
        AcdcSource(folder)
