"""The search problem of a segmentation: cells and betas, under a latency budget if there is one.

The cells of every type and the betas of the grid move together; latency shapes the alphas through
the objective of RT-DNAS (Eq. 2) and never the weights.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.data.named import config_labels
from jaxnas.engine.run import Run
from jaxnas.ops.norm import STATISTICS
from jaxnas.search.methods import SearchProblem
from jaxnas.search.moves import SearchLoss
from jaxnas.search.objective import ACCURACY, SearchObjective
from jaxnas.segmentation.augment import augment
from jaxnas.segmentation.profile import two_level_space
from jaxnas.segmentation.section import LOSSES, SegmentationConfig
from jaxnas.segmentation.task import augmentation, init_segmentation
from jaxnas.spaces.rtdnas import RelaxedSupernet, TwoLevelSpace
from jaxnas.spaces.rtdnas_supernet import RtdnasSupernet


def two_level_problem(
    config: SegmentationConfig, *, objective: SearchObjective = ACCURACY
) -> SearchProblem:
    """The problem of a config; a latency is reported even in a search for accuracy."""
    space = two_level_space(config)
    net = RelaxedSupernet(space, two_level_supernet(config, space))
    loss = two_level_loss(net, config)
    return SearchProblem(space, lambda key: init_segmentation(key, net), loss, objective)


def searched_weights(run: Run) -> dict[str, Any]:
    """The softmaxed weights at the end of a run's search, as NumPy arrays; UserError before it."""
    file = run.dir.alphas
    if not file.exists():
        raise UserError(f"{run.path}: nothing is searched yet; run jaxnas search first")
    last = file.read()["history"][-1]
    cells = {name: np.asarray(table) for name, table in last["weights"].items()}
    return {"cells": cells, "betas": np.asarray(last["betas"])}


def two_level_supernet(config: SegmentationConfig, space: TwoLevelSpace) -> RtdnasSupernet:
    """The supernet of a config."""
    return RtdnasSupernet(
        space.grid,
        space.operations,
        space.nodes,
        channels=config.search.channels,
        classes=len(config_labels(config)),
        partial=config.search.partial,
        stem_stride=config.network.stem_stride,
        dtype=jnp.dtype(config.network.dtype),
    )


def two_level_loss(net: RelaxedSupernet, config: SegmentationConfig) -> SearchLoss:
    """Returns loss(params, alphas, batch, key), the config's loss L_a of an augmented batch."""
    variation, objective = augmentation(config), LOSSES[config.search.loss]

    def loss(params, alphas, batch, key):
        image, label = augment(key, batch["image"], batch["label"], variation)
        logits, _ = net.apply(
            {"params": params, "alphas": alphas}, image[..., None], train=True, mutable=[STATISTICS]
        )
        return objective(logits, label)

    return loss
