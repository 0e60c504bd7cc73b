"""Which networks of a config are one and the same."""

from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.models.segmentation import build_segmentation_network
from jaxnas.search.deployed import derived_network
from jaxnas.search.segmentation_networks import trained_as
from jaxnas.spaces.genotype import Genotype

CONFIG = SegmentationConfig(
    task="segmentation", data={"size": (32, 32)}, network={"layers": 4, "scales": 2}
)
CELLS = (("expand", ((("conv_3x3", 0),),)), ("keep", ((("skip_connect", 0),),)))
BOTH = ((0, 1, 0, 1, 0), (0, 0, 0, 0, 0))
# Where the two meet at the finest scale, a network can change from one to the other.
CROSSED = ((0, 1, 0, 0, 0), (0, 0, 0, 1, 0))


def net(paths, cells=CELLS):
    return derived_network(CONFIG, Genotype("rtdnas", cells, paths))


def test_networks_of_the_same_cells_are_trained_once():
    nets = {
        "both": net(BOTH),
        "one": net(BOTH[:1]),
        "reversed": net(BOTH[::-1]),
        "crossed": net(CROSSED),
        "other_cells": net(BOTH, (*CELLS[:1], ("keep", ((("conv_3x3", 0),),)))),
        "unet2d": build_segmentation_network("unet2d", channels=4),
        "wider": build_segmentation_network("unet2d", channels=8),
    }
    expected = {name: name for name in nets} | {"reversed": "both", "crossed": "both"}
    assert trained_as(nets) == expected
