"""The hand-made networks by the names that configs use."""

from collections.abc import Callable
from functools import partial

from flax import linen as nn

from jaxnas.metrics.cost import Cost
from jaxnas.models.dccnn import dccnn
from jaxnas.models.fastmri_unet import fastmri_unet
from jaxnas.models.fedautomri_baseline import fedautomri_baseline
from jaxnas.models.modl import modl
from jaxnas.models.rdn import rdn
from jaxnas.models.unet import unet
from jaxnas.spaces.section import NetworkConfig

MODELS: dict[str, Callable[[NetworkConfig], nn.Module]] = {
    "unet": unet,
    "fastmri_unet": fastmri_unet,
    "dccnn": dccnn,
    "dccnn_11": partial(dccnn, blocks=11),
    "modl": modl,
    "modl_11": partial(modl, blocks=11),
    "rdn": rdn,
    "rdn_8": partial(rdn, recursions=8),
    "fedautomri_baseline": fedautomri_baseline,
}

# Yan et al.'s counter saw activations that were layers, not those that were function calls.
WITH_ACTIVATIONS = frozenset({"rdn", "rdn_8", "derived", "fedautomri_baseline"})


def paper_flops(name: str, cost: Cost) -> int:
    """The FLOPs of a network of this `cost` as the table of its paper counts them.

    NAS-CSMRI, Table I: MACs and bias additions; for RDN and the searched network (`derived`)
    rectified elements too. Exact for the hand-made networks. For searched ones the tables fit 64
    such elements a pixel and operation, twice what one ReLU on 32 channels has: 15.07 G is printed
    where this gives 14.89 G. FedAutoMRI, Table 2: rectified elements too, for the manual baseline
    (exact: 85.65 G at 256²) and for the searched network.
    """
    return cost.flops_with_activations if name in WITH_ACTIVATIONS else cost.flops
