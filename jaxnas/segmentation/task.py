"""The task of segmentation, labels out of an image, and its search problem.

In training every step normalises by its own batch and nothing runs along. Afterwards the
statistics of many batches, all under the final weights, are put together: "precise" batch
normalisation, which owes nothing to the steps before the last.

In a search the cells of every type and the betas of the grid move together; latency shapes the
alphas through the objective of RT-DNAS (Eq. 2) and never the weights.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnas.core.errors import UserError
from jaxnas.core.rng import draw_variables
from jaxnas.data.annotation import annotated
from jaxnas.data.batches import BatchStream, EpochStream
from jaxnas.data.named import config_labels
from jaxnas.engine.run import Run
from jaxnas.engine.step import TrainLoss
from jaxnas.metrics.overlap import dice
from jaxnas.ops.norm import STATISTICS
from jaxnas.search.methods import SearchProblem
from jaxnas.search.moves import SearchLoss
from jaxnas.search.objective import ACCURACY, SearchObjective
from jaxnas.segmentation.apply import Predictor
from jaxnas.segmentation.augment import Augmentation, augment
from jaxnas.segmentation.dataset import LabeledDataset
from jaxnas.segmentation.loss import segmentation_loss
from jaxnas.segmentation.profile import two_level_space
from jaxnas.segmentation.section import LOSSES, SegmentationConfig
from jaxnas.spaces.rtdnas import RelaxedSupernet, TwoLevelSpace
from jaxnas.spaces.rtdnas_supernet import RtdnasSupernet

Statistics = Callable[[Any, jax.Array | np.ndarray], Any]
_INIT_SIZE = 64  # two pixels at the coarsest scale a config may have


def make_statistics(net: nn.Module) -> Statistics:
    """Returns the compiled statistics(params, images (B, H, W)) -> `batch_stats` of that batch."""
    return jax.jit(functools.partial(_statistics, net))


def precise_statistics(
    statistics: Statistics, params: Any, images: Iterable[np.ndarray]
) -> dict[str, Any]:
    """The `batch_stats` of all batches of `images` float32 (B, H, W) together, float32.

    For batches of one size, with mean mᵢ and variance vᵢ per batch: the mean is the mean of the mᵢ,
    the variance mean(vᵢ) + var(mᵢ), which is that of all values at once; without the spread of the
    mᵢ it would be too small. `{}` for a network without normalisation. ValueError without batches,
    for batches of different shapes, and for statistics other than `mean` and `variance`.
    """
    found, shapes = [], set()
    for batch in images:
        shapes.add(np.shape(batch))
        found.append(flatten_dict(jax.device_get(statistics(params, batch))))
    if len(shapes) != 1:
        raise ValueError(f"expected batches of one shape, got {sorted(shapes) or 'none'}")
    columns = {
        path: np.stack([np.asarray(batch[path], np.float64) for batch in found])
        for path in found[0]
    }
    return unflatten_dict({path: _combined(path, columns) for path in columns})


def deployed_variables(
    statistics: Statistics, params: Any, batches: BatchStream, *, count: int
) -> dict[str, Any]:
    """`params` and the `batch_stats` of the first `count` batches, without augmentation."""
    images = (batches.batch(step)["image"] for step in range(count))
    return {"params": params, STATISTICS: precise_statistics(statistics, params, images)}


class DiceValidation:
    """`(variables, dataset) -> mean Dice` of a network that is compiled once.

    Like the mean `dice` of metrics.json on the group `valid`: of every volume on its own grid the
    mean over the classes that it or its prediction has, then the mean over volumes. A network takes
    `slices` slices at a time.
    """

    def __init__(self, net: nn.Module, *, slices: int) -> None:
        self._net, self._slices = net, slices
        self._predictor: Predictor | None = None

    def __call__(self, variables: Any, dataset: LabeledDataset) -> float:
        """The score of `params` and `batch_stats`; UserError where no class is defined anywhere."""
        predictor = self._with(variables, dataset)
        known = [*annotated(dataset.source).values()]
        scores = []
        for i in dataset.volumes("valid"):
            volume = dataset.source.read(i)
            labels = predictor.segment_by(volume, slices=self._slices)
            found = dice(volume.truth, labels, known)
            scores += [np.mean(found[np.isfinite(found)])] if np.isfinite(found).any() else []
        if not scores:
            raise UserError(
                "train.validate_every: no validation volume has a labelled class; choose others, "
                "or set train.validate_every: 0"
            )
        return float(np.mean(scores))

    def _with(self, variables: Any, dataset: LabeledDataset) -> Predictor:
        if self._predictor is None:
            self._predictor = Predictor(self._net, variables, dataset.preparation)
            return self._predictor
        return self._predictor.under(variables, dataset.preparation)


@dataclass(frozen=True)
class Segmentation:
    """The `Task` with a loss of LOSSES on augmented batches.

    A trained network is applied with the statistics of `batches` training batches; a validation
    segments `slices` slices at a time.

    Batch statistics never leave a client. A local step normalises by its own batch, as at one site,
    so between two averages there is nothing to average but weights; and afterwards every client
    takes precise statistics of its own training images under the weights that it uses. Averaged
    variances, as FedNAS averages them, would leave out how far the clients' means lie apart, and
    statistics of others do not fit images of this scanner (as in SiloBN and FedBN, where they stay
    local too).
    """

    objective: str
    augmentation: Augmentation
    batches: int
    slices: int

    score: ClassVar[str] = "valid_dice"
    collections: ClassVar[tuple[str, ...]] = (STATISTICS,)

    def init(self, key: jax.Array, net: nn.Module) -> Any:
        """The variables of a network before training."""
        return init_segmentation(key, net)

    def loss(self, net: nn.Module) -> TrainLoss:
        """Returns loss(params, batch, key) -> (scalar, {})."""
        return segmentation_loss(net, LOSSES[self.objective], self.augmentation)

    def finish(self, net: nn.Module) -> Callable[[Any, EpochStream], dict[str, Any]]:
        """Returns the parameters with precise statistics, taken without augmentation."""
        return partial(deployed_variables, make_statistics(net), count=self.batches)

    def validate(self, net: nn.Module) -> DiceValidation:
        """Returns the mean Dice on the validation volumes."""
        return DiceValidation(net, slices=self.slices)


def segmentation_task(config: SegmentationConfig) -> Segmentation:
    """The task of a config."""
    train = config.train
    return Segmentation(train.loss, augmentation(config), train.statistics, config.latency.stack)


def augmentation(config: SegmentationConfig) -> Augmentation:
    """The variations of training slices."""
    return Augmentation(**config.train.augment.model_dump())


def init_segmentation(key: jax.Array, net: nn.Module) -> dict[str, Any]:
    """The variables of `net` before training; they depend on the key alone, not on the image."""
    image = jax.ShapeDtypeStruct((1, _INIT_SIZE, _INIT_SIZE, 1), jnp.float32)
    return draw_variables(key, partial(net.init, train=True), image)


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


def _combined(path: tuple[str, ...], columns: dict[tuple[str, ...], np.ndarray]) -> np.ndarray:
    """One statistic over all batches, from its values (N, ...) in each."""
    *place, name = path
    if name == "mean":
        value = columns[path].mean(0)
    elif name == "variance":
        value = columns[path].mean(0) + columns[*place, "mean"].var(0)
    else:
        raise ValueError(f"expected statistics called mean and variance, got {'/'.join(path)}")
    return value.astype(np.float32)


def _statistics(net: nn.Module, params: Any, images: jax.Array) -> Any:
    _, collections = net.apply(
        {"params": params}, images[..., None], train=True, mutable=[STATISTICS]
    )
    return collections.get(STATISTICS, {})
