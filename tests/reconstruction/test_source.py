"""Data sections opened as a network sees them: every field works, bad combinations are refused."""

import h5py
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.batches import stack
from jaxnas.data.coils import combine_coils
from jaxnas.data.open import open_source
from jaxnas.data.registry import LAYOUTS
from jaxnas.data.section import DataConfig, SplitConfig
from jaxnas.data.source import labels_of, volume_names
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.transforms import center_crop, centered_ifft2
from jaxnas.engine.slices import split_groups
from jaxnas.reconstruction.acquire import simulate
from jaxnas.reconstruction.dataset import KspaceDataset
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.reconstruction.source import Center, open_dataset, ready_source
from jaxnas.spaces.section import NetworkConfig

SIZE = (20, 18)
CENTER = Center(0.25, points=False)
EXACT, FINITE = NetworkConfig(), NetworkConfig(lam=20.0)


def ready(network=FINITE, **fields):
    config = DataConfig(**fields)
    return ready_source(open_source(config, seed=0), config, network, center=CENTER)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder of every layout: two volumes of two slices, three coils where there can be."""
    folder = tmp_path_factory.mktemp("layouts")
    for layout, make in LAYOUTS.items():
        coils = 1 if layout == "cc359" else 3
        make(folder / layout, SyntheticSource(volumes=2, slices=2, size=SIZE, coils=coils))
    return folder


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_layout_padded_and_cropped(written, layout):
    path = str(written / layout)
    source = ready(
        source=layout.removesuffix("_multi"),
        path=path,
        coils="combined",
        pad=(24, 24),
        crop=(16, 16),
    )
    assert len(source.slices) == 4
    assert {ref[2:] for ref in source.slices} == {((16, 16), 1, False)}
    item = source.read(3)
    assert item.kspace.shape == (16, 16) and item.sens is None
    assert labels_of(source).keys() == set(volume_names(source))


def test_the_order_of_views(written):
    """Combined with the file's maps, then padded, then cropped."""
    fields = {"source": "modl_brain", "path": str(written / "modl_brain")}
    whole = ready(**fields).read(0)
    image = combine_coils(whole.kspace, whole.sens)
    found = ready(EXACT, **fields, coils="combined", pad=(24, 24), crop=(22, 12)).read(0)
    want = np.pad(image, ((1, 1), (0, 0)))[:, 3:15]
    np.testing.assert_allclose(centered_ifft2(found.kspace), want, atol=1e-5)


def test_several_coils_need_a_finite_weight_unless_combined(written):
    fields = {"source": "cc359", "path": str(written / "cc359_multi")}
    with pytest.raises(UserError, match=r"synthetic_0000_T1.h5: has 3 coils, but network.lam"):
        ready(EXACT, **fields)
    assert ready(EXACT, **fields, coils="combined").slices[0].coils == 1
    source = ready(**fields)
    assert source.read(1).sens.shape == source.read(1).kspace.shape == (3, *SIZE)


def test_no_mask_samples_what_cc359_never_measured(written):
    source = ready(source="cc359", path=str(written / "cc359_multi"))
    batch = stack([source.read(0), source.read(1)], indices=[0, 1])
    measurement, _ = simulate(batch, np.ones((2, 1, 18), np.float32), peak=6.0)
    sampled = np.asarray(measurement.mask)[0].ravel()
    np.testing.assert_array_equal(sampled, np.arange(18) < 16)  # ⌈0.85 · 18⌉


def test_several_paths(written, tmp_path):
    paths = tuple(str(p) for p in sorted((written / "cc359").iterdir())[::-1])
    source = ready(source="cc359", path=paths)
    assert volume_names(source) == ("synthetic_0001_T2.npy", "synthetic_0000_T1.npy")


def test_arrays_with_every_field(tmp_path):
    rng = np.random.default_rng(0)
    image, maps = rng.normal(size=(14, 17, 5)) + 0j, rng.normal(size=(3, 17, 14)) + 0j
    maps /= np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"], file["maps"] = image, image[..., :2], maps
    fields = {"source": "arrays", "path": str(tmp_path), "domain": "image", "axes": "WHS"}
    source = ready(**fields, dataset="x", sens="maps")
    assert len(source.slices) == 5
    np.testing.assert_allclose(
        centered_ifft2(source.read(4).kspace), maps * image[..., 4].T, atol=1e-4
    )
    np.testing.assert_allclose(source.read(4).sens, maps, atol=1e-6)
    every = ready(**fields, dataset="*", sens="maps", coils="combined", crop=(17, 12))
    assert volume_names(every) == ("a.h5:x", "a.h5:y")
    combined = image[..., 1].T
    np.testing.assert_allclose(centered_ifft2(every.read(6).kspace), combined[:, 1:13], atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"axes": "SHW"}, "data.axes: is 'SHW', but data.source is 'synthetic'"),
        ({"dataset": "*"}, "data.dataset: is '.', but"),
        ({"sens": "s"}, "data.sens: is 's', but"),
        ({"domain": "image"}, "data.domain: is 'image', but"),
        ({"source": "cc359", "path": "x", "sens": "s"}, "data.sens: .* data.source is 'cc359'"),
        ({"pad": (30, 40)}, "synthetic_0000_T1: cannot pad 32×32 pixels to 30×40"),
        ({"pad": (36, 36), "crop": (40, 40)}, "synthetic_0000_T1: cannot crop 36×36 .* 40×40"),
        ({"source": "modl_brain", "path": "/nowhere"}, "/nowhere: no such file or folder"),
    ],
)
def test_bad_combinations(fields, message):
    with pytest.raises(UserError, match=message) as caught:
        ready(**{"synthetic": {"volumes": 2, "slices": 1, "size": (32, 32)}, **fields})
    assert "\n" not in str(caught.value)


def test_undersampled_coils_cannot_be_combined(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = np.ones((1, 2, 17, 14), np.complex64)
        file["mask"] = np.arange(14) % 2
    with pytest.raises(UserError, match=r"a.h5: is undersampled, and combining its 2 coils"):
        ready(source="fastmri", path=str(tmp_path), coils="combined")


def test_a_slice_is_read_once():
    fields = {"synthetic": {"volumes": 1, "slices": 1, "size": (16, 16)}}
    source = ready(**fields)
    assert source.read(0).kspace is source.read(0).kspace
    config = DataConfig(**fields)
    bare = ready_source(open_source(config, seed=0), config, FINITE, center=CENTER, cache_bytes=0)
    assert bare.read(0).kspace is not bare.read(0).kspace


def test_split_of_some_volumes():
    source = SyntheticSource(volumes=10, slices=2, size=16)
    names = volume_names(source)[:5]
    groups = split_groups(source, names, SplitConfig(valid_fraction=0.2, test_fraction=0.2), seed=0)
    dataset = KspaceDataset(source=source, groups=groups)
    assert sorted(name for group in groups.values() for name in group) == list(names)
    assert [dataset.count(group) for group in ("train", "valid", "test")] == [6, 2, 2]
    patterns = SplitConfig(train=("*_T1",), test=("*_T2",))
    dataset = KspaceDataset(source=source, groups=split_groups(source, names, patterns, seed=0))
    assert dataset.groups["valid"] == ()
    assert dataset.slices("test") == (2, 3)
    with pytest.raises(UserError, match="matches none of the 5 volumes"):
        split_groups(source, names, SplitConfig(train=("*_T1",), test=("*9*",)), seed=0)


def test_a_whole_config():
    config = ReconstructionConfig(
        data={"synthetic": {"volumes": 5, "slices": 2, "size": (32, 28)}, "crop": (16, 16)}
    )
    dataset = open_dataset(config)
    want = SyntheticSource(volumes=5, slices=2, size=(32, 28), seed=config.seed).read(7)
    image = centered_ifft2(dataset.source.read(7).kspace)
    np.testing.assert_allclose(image, center_crop(centered_ifft2(want.kspace), (16, 16)), atol=1e-5)
    assert set(dataset.groups) == {"train", "valid", "test"}
