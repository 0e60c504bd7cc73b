"""The mean Dice on validation volumes while a network trains, as it would be deployed."""

from typing import Any

import numpy as np
from flax import linen as nn

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import annotated
from jaxnas.metrics.overlap import dice
from jaxnas.segmentation.apply import Predictor
from jaxnas.segmentation.dataset import LabeledDataset


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
