"""The networks of a config: which are one and the same; those found on ACDC are legal."""

from pathlib import Path

import pytest

from jaxnas.core.config import load_config
from jaxnas.segmentation.deployment import two_level_network
from jaxnas.segmentation.networks import build_segmentation_network, trained_as
from jaxnas.segmentation.profile import two_level_space
from jaxnas.segmentation.section import SegmentationConfig
from jaxnas.spaces.genotype import Genotype, load_genotype

CONFIG = SegmentationConfig(
    task="segmentation", data={"size": (32, 32)}, network={"layers": 4, "scales": 2}
)
CELLS = (("expand", ((("conv_3x3", 0),),)), ("keep", ((("skip_connect", 0),),)))
BOTH = ((0, 1, 0, 1, 0), (0, 0, 0, 0, 0))
# Where the two meet at the finest scale, a network can change from one to the other.
CROSSED = ((0, 1, 0, 0, 0), (0, 0, 0, 1, 0))

ACDC = Path(__file__).parents[2] / "configs" / "rtdnas" / "acdc.yaml"


def net(paths, cells=CELLS):
    return two_level_network(CONFIG, Genotype("rtdnas", cells, paths))


def test_networks_of_the_same_cells_are_trained_once():
    nets = {
        "both": net(BOTH),
        "one": net(BOTH[:1]),
        "reversed": net(BOTH[::-1]),
        "crossed": net(CROSSED),
        "other_cells": net(BOTH, (*CELLS[:1], ("keep", ((("conv_3x3", 0),),)))),
        "unet2d": build_segmentation_network("unet2d", channels=4, classes=4),
        "wider": build_segmentation_network("unet2d", channels=8, classes=4),
    }
    expected = {name: name for name in nets} | {"reversed": "both", "crossed": "both"}
    assert trained_as(nets) == expected


@pytest.mark.parametrize("file", sorted(ACDC.with_suffix("").glob("*.json")), ids=lambda f: f.stem)
def test_the_genotypes_found_on_acdc_fit_their_config(file):
    two_level_space(load_config(ACDC)).check(load_genotype(file), where=str(file))
