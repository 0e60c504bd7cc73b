"""The `Evaluator` of a reconstruction: networks and classical methods on the test volumes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flax import linen as nn

from jaxnas.engine.cohort import SITE
from jaxnas.engine.rundir import RunDir
from jaxnas.engine.task import Contender, Variables
from jaxnas.models.costing import network_cost
from jaxnas.reconstruction.dataset import KspaceDataset
from jaxnas.reconstruction.rows import slices_csv, summaries
from jaxnas.reconstruction.scoring import (
    Evaluation,
    ReconstructionMethod,
    SliceScore,
    classical_reconstructors,
    evaluate_reconstruction,
    network_reconstructor,
)
from jaxnas.reconstruction.section import ReconstructionConfig

CONVENTION = (
    "psnr, ssim, nmse, mse: per slice on the modulus, data range = maximum of the target slice, "
    "mean and standard deviation over slices; volume: fastMRI, data range = maximum of the volume"
)


@dataclass(frozen=True)
class ReconstructionEvaluator:
    """Scores of every slice and volume at every acceleration of a config."""

    config: ReconstructionConfig

    @cached_property
    def untrained(self) -> dict[str, ReconstructionMethod]:
        """The classical methods of the config."""
        return classical_reconstructors(self.config.evaluate)

    def predictor(
        self, net: nn.Module, variables: Variables, dataset: KspaceDataset
    ) -> ReconstructionMethod:
        """A trained network as a reconstructor."""
        return network_reconstructor(net, variables["params"])

    def evaluate(
        self,
        predictors: Mapping[str, ReconstructionMethod],
        dataset: KspaceDataset,
        *,
        fold: int | None,
    ) -> Evaluation:
        """The scores on the test slices of a dataset, as it is acquired."""
        return evaluate_reconstruction(
            predictors,
            dataset.source,
            dataset.slices("test"),
            dataset.acquisition,
            batch=self.config.evaluate.batch,
        )

    def rows(self, name: str, found: Sequence[Evaluation]) -> list[dict[str, Any]]:
        """One row per acceleration, then one over all of them."""
        slices = [score for each in found for score in each.slices if score.model == name]
        volumes = [score for each in found for score in each.volumes if score.model == name]
        return [{**row, "params": 0, "macs": 0} for row in summaries(slices, volumes)]

    def facts(
        self, model: str, net: nn.Module, predictor: ReconstructionMethod, dataset: KspaceDataset
    ) -> dict[str, Any]:
        """Parameters and operations of a network for the first test slice of a dataset."""
        ref = dataset.source.slices[dataset.slices("test")[0]]
        return network_cost(net, ref.shape, coils=ref.coils).to_json()

    def describe(self, datasets: Sequence[KspaceDataset]) -> str:
        """Test volumes and slices, image size, coils."""
        return "; ".join(map(_describe, datasets))

    def head(self) -> dict[str, Any]:
        """The conventions of the scores."""
        return {"convention": CONVENTION}

    def write(
        self, run_dir: RunDir, found: Mapping[str, Evaluation], contenders: Sequence[Contender]
    ) -> None:
        """Writes slices.csv and the example images of every member."""
        if SITE in found:
            run_dir.slices.write(slices_csv(found[SITE].slices))
            run_dir.examples.write(found[SITE].examples, found[SITE].pictured)
            return
        run_dir.slices.write(client_slices(contenders, found))
        for client, evaluation in found.items():
            run_dir.client_examples(client).write(evaluation.examples, evaluation.pictured)


def client_slices(order: Sequence[Contender], found: Mapping[str, Evaluation]) -> str:
    """The text of slices.csv, with the columns `strategy` and `client` after the model."""
    model, *rest = SliceScore._fields
    scores = (
        (contender.model, contender.strategy, client, *score[1:])
        for contender in order
        for client, evaluation in found.items()
        for score in evaluation.slices
        if score.model == contender.name
    )
    return slices_csv(scores, fields=(model, "strategy", "client", *rest))


def _describe(dataset: KspaceDataset) -> str:
    volumes, slices = dataset.groups["test"], dataset.slices("test")
    ref = dataset.source.slices[slices[0]]
    return (
        f"{len(volumes)} test volumes, {len(slices)} slices, "
        f"{ref.shape[0]}×{ref.shape[1]}, {ref.coils} coil{'s' if ref.coils > 1 else ''}"
    )
