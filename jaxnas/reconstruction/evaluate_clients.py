"""The evaluation stage across clients: every method at every client, with the client's own model,
test volumes and acquisition."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxnas.core.schema import Config
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.run import Run
from jaxnas.fed.shares import POOLED
from jaxnas.fed.training import load_method, method_folder
from jaxnas.reconstruction.evaluate import cost_on, describe_test, evaluate_dataset, write_metrics
from jaxnas.reconstruction.networks import trainable
from jaxnas.reconstruction.rows import slices_csv, summaries
from jaxnas.reconstruction.scoring import (
    Evaluation,
    SliceScore,
    VolumeScore,
    classical_reconstructors,
    network_reconstructor,
)
from jaxnas.reconstruction.task import reconstruction_task


class Contender(NamedTuple):
    """A row of the comparison: a network and the label of its method, or an untrained method."""

    model: str
    strategy: str | None = None

    @property
    def name(self) -> str:
        """Its name among reconstructors and examples."""
        return self.model if self.strategy is None else f"{self.model}/{self.strategy}"


@dataclass(frozen=True)
class ClientEvaluation:
    """The scores of all contenders, by their names, at one client."""

    client: str
    evaluation: Evaluation

    def slices(self, contender: Contender) -> list[SliceScore]:
        """The slices that a contender reconstructed."""
        return [s for s in self.evaluation.slices if s.model == contender.name]

    def volumes(self, contender: Contender) -> list[VolumeScore]:
        """The volumes that a contender reconstructed."""
        return [v for v in self.evaluation.volumes if v.model == contender.name]


def compare_clients(run: Run, cohort: Cohort) -> list[dict[str, Any]]:
    """Writes metrics.json, slices.csv and examples of every client; returns the rows."""
    config, nets, task = run.config, trainable(run), reconstruction_task(run.config)
    trained = {
        method: load_method(run, task, method, nets[method.model], cohort.names)
        for method in config.federated.methods
    }
    results = []
    for client, dataset in cohort.members.items():
        reconstructors = classical_reconstructors(config.evaluate) | {
            method_folder(method): network_reconstructor(
                nets[method.model], found.variables(client)["params"]
            )
            for method, found in trained.items()
        }
        evaluation = evaluate_dataset(config, reconstructors, dataset)
        run.dir.client_examples(client).write(evaluation.examples, evaluation.pictured)
        results.append(ClientEvaluation(client, evaluation))
    costs = {name: cost_on(cohort.first, net) for name, net in nets.items()}
    rows = [
        row | {"params": 0, "macs": 0, **costs.get(contender.model, {})}
        for contender in contenders(config)
        for row in client_rows(contender, results)
    ]
    run.dir.slices.write(client_slices(contenders(config), results))
    write_metrics(run, describe_data(cohort), rows)
    return rows


def contenders(config: Config) -> list[Contender]:
    """The rows of the comparison, in the order of tables: untrained methods, then the config's."""
    return [Contender(name) for name in config.evaluate.classical] + [
        Contender(method.model, method.label) for method in config.federated.methods
    ]


def client_rows(
    contender: Contender, results: Sequence[ClientEvaluation]
) -> Iterator[dict[str, Any]]:
    """The rows of one contender: of every client, then of all their slices pooled.

    Each has one row per acceleration and one over all of them.
    """
    place = {"model": contender.model}
    if contender.strategy is not None:
        place["strategy"] = contender.strategy
    for client, own in {**{r.client: [r] for r in results}, POOLED: results}.items():
        slices = [score for result in own for score in result.slices(contender)]
        volumes = [score for result in own for score in result.volumes(contender)]
        for row in summaries(slices, volumes):
            yield place | {"client": client, **row}


def client_slices(order: Sequence[Contender], results: Sequence[ClientEvaluation]) -> str:
    """The text of slices.csv, with the columns `strategy` and `client` after the model."""
    model, *rest = SliceScore._fields
    scores = (
        (contender.model, contender.strategy, result.client, *score[1:])
        for contender in order
        for result in results
        for score in result.slices(contender)
    )
    return slices_csv(scores, fields=(model, "strategy", "client", *rest))


def describe_data(cohort: Cohort) -> str:
    """One line: the test volumes of every client."""
    return "; ".join(f"{name}: {describe_test(data)}" for name, data in cohort.members.items())
