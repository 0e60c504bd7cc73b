"""The evaluation stage: every contender at every member of a cohort, in any task and setting."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flax import linen as nn

from jaxnas.core.sections import Experiment
from jaxnas.engine.cohort import Cohort, fold_number
from jaxnas.engine.networks import DERIVED
from jaxnas.engine.run import Run
from jaxnas.engine.task import Contender, Evaluator, Variables
from jaxnas.engine.training import trained_variables, training_name
from jaxnas.fed.partition import POOLED
from jaxnas.fed.training import load_method
from jaxnas.search.task_kind import TaskKind


def evaluate_cohort(run: Run, kind: TaskKind, cohort: Cohort) -> list[dict[str, Any]]:
    """Writes metrics.json and what belongs to it; returns the rows.

    A contender at one site or with folds has the rows of all test data: with folds every volume is
    scored by the network that did not see it. Across clients it has those of every client, by the
    client's own model on its own data, and of all of them pooled.

    Every file but metrics.json comes first, so that a run that was stopped in between shows no half
    evaluation.
    """
    nets, evaluator = kind.networks(run), kind.evaluator(run)
    trained, variables = contenders(run.config, nets), find_variables(run, kind, nets, cohort)
    same = {} if cohort.weights else kind.trained_as(nets)
    found = {}
    for member, dataset in cohort.members.items():
        loaded: dict[str, Any] = {}
        for contender in trained:
            name = same.get(contender.model, contender.name)
            if name not in loaded:  # networks that are the same are compiled once
                net = nets[contender.model]
                loaded[name] = evaluator.predictor(net, variables(contender, member), dataset)
        own = {c.name: loaded[same.get(c.model, c.name)] for c in trained}
        predictors = {**evaluator.untrained, **own}
        place = cohort.place(member)
        run.log(f"evaluating {len(predictors)} methods{f' at {place}' if place else ''}")
        fold = None if cohort.weights else fold_number(member)
        found[member] = evaluator.evaluate(predictors, dataset, fold=fold)
    facts: dict[str, dict[str, Any]] = {}
    for contender in trained:  # a network takes the same time whatever its weights
        if contender.model not in facts:
            net, predictor = nets[contender.model], predictors[contender.name]
            facts[contender.model] = evaluator.facts(contender.model, net, predictor, dataset)
    everyone = [*map(Contender, evaluator.untrained), *trained]
    groups = _groups(cohort, found)
    rows = [
        row | facts.get(contender.model, {})
        for contender in everyone
        for row in contender_rows(contender, evaluator, groups)
    ]
    evaluator.write(run.dir, found, everyone)
    head = {"schema": 1, "task": run.config.task, "data": _describe(run, evaluator, cohort)}
    run.dir.metrics.write({**head, **evaluator.head(), "rows": rows})
    return rows


def contenders(config: Experiment, names: Iterable[str]) -> list[Contender]:
    """The trained contenders of a config in the order of tables: at one site its networks `names`,
    the searched one last, whenever it was trained."""
    if config.federated is not None:
        return [Contender(method.model, method.label) for method in config.federated.methods]
    return sorted(map(Contender, names), key=lambda contender: contender.model == DERIVED)


def find_variables(
    run: Run, kind: TaskKind, nets: Mapping[str, nn.Module], cohort: Cohort
) -> Callable[[Contender, str], Variables]:
    """Returns variables(contender, member); UserError where a training is not finished."""
    task = kind.task(run.config)
    if run.config.federated is not None:
        methods = {
            (m.model, m.label): load_method(run, task, m, nets[m.model], cohort.names)
            for m in run.config.federated.methods
        }
        return lambda contender, member: methods[contender].variables(member)
    names = kind.trained_as(nets)

    def variables(contender: Contender, member: str) -> Variables:
        name = training_name(names[contender.model], member)
        return trained_variables(run, task, nets[contender.model], name)

    return variables


def contender_rows(
    contender: Contender, evaluator: Evaluator, groups: Mapping[str | None, Sequence[Any]]
) -> list[dict[str, Any]]:
    """The rows of one contender without the facts of its network.

    `groups` are the scores of members to pool, by the client that their rows name, if any.
    """
    place = {"model": contender.model}
    if contender.strategy is not None:
        place["strategy"] = contender.strategy
    return [
        place | ({} if client is None else {"client": client}) | row
        for client, found in groups.items()
        for row in evaluator.rows(contender.name, found)
    ]


def _groups(cohort: Cohort, found: Mapping[str, Any]) -> dict[str | None, list[Any]]:
    """The scores by the rows that they make: one for all members, or one for every client too."""
    everything = [*found.values()]
    if not cohort.weights:
        return {None: everything}
    return {**{client: [own] for client, own in found.items()}, POOLED: everything}


def _describe(run: Run, evaluator: Evaluator, cohort: Cohort) -> str:
    """One line: the test data of the run, or of every client."""
    if cohort.weights:
        return "; ".join(f"{n}: {evaluator.describe([d])}" for n, d in cohort.members.items())
    return f"{run.config.data.source}: {evaluator.describe([*cohort.members.values()])}"
