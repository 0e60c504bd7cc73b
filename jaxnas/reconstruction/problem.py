"""The search problem of a reconstruction."""

from typing import Any

from jaxnas.mri.section import AcquisitionConfig
from jaxnas.ops.costs import Rates
from jaxnas.reconstruction.acquire import make_example
from jaxnas.reconstruction.loss import Distance, l1
from jaxnas.reconstruction.networks import init_variables
from jaxnas.reconstruction.section import LOSSES, ReconstructionConfig
from jaxnas.search.methods import SearchProblem
from jaxnas.search.moves import SearchLoss
from jaxnas.search.objective import ACCURACY, SearchObjective
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.supernet import Supernet, supernet


def unrolled_problem(
    config: ReconstructionConfig,
    *,
    objective: SearchObjective = ACCURACY,
    rates: Rates | None = None,
) -> SearchProblem:
    """The problem of a config; `rates` are those of this device for the plan `auto`.

    Across clients masks come with the batches, and all have the scale of the first.
    """
    asked, net = config.search, supernet(proxy(config), rates=rates)
    loss = supernet_loss(net, config.acquisitions[0], distance=LOSSES[asked.loss], rows=asked.rows)
    return SearchProblem(net.space, lambda key: init_variables(key, net), loss, objective)


def supernet_loss(
    net: Supernet,
    acquisition: AcquisitionConfig,
    *,
    distance: Distance = l1,
    rows: int | None = None,
) -> SearchLoss:
    """Returns loss(params, alphas, batch, key), the `distance` (Eq. 16: L1); a float32 scalar."""

    def loss(params, alphas, batch, key):
        measurement, target = make_example(key, batch, acquisition, rows=rows)
        image: Any = net.apply({"params": params, "alphas": alphas}, measurement)
        return distance(image, target)

    return loss


def proxy(config: ReconstructionConfig) -> NetworkConfig:
    """The network that is searched: the config's own, or a smaller one with the same cell."""
    smaller = {
        name: value
        for name in ("channels", "cells", "cascades")
        if (value := getattr(config.search, name)) is not None
    }
    return config.network.model_copy(update=smaller)
