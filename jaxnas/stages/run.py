"""The stages of a run, in order: search → derive → select → train → evaluate → report."""

from collections.abc import Sequence

from jaxnas.core.errors import UserError
from jaxnas.core.registry import resolve
from jaxnas.core.sections import Experiment
from jaxnas.engine.cohort import Cohort, fold_name
from jaxnas.engine.groups import (
    check_search_data,
    check_training_data,
    log_training,
    training_cohort,
)
from jaxnas.engine.inputs import check_inputs, describe_inputs, keep_inputs
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.run import Run, check_directory, claim
from jaxnas.engine.task import DataOpener
from jaxnas.engine.training import check_training, train_all
from jaxnas.fed.clients import describe_client, open_clients, write_clients
from jaxnas.fed.search import check_federated_search, search_clients
from jaxnas.fed.training import check_methods, train_methods
from jaxnas.search.stage import check_search, search_site
from jaxnas.search.task_kind import TaskKind
from jaxnas.stages.evaluate import evaluate_cohort
from jaxnas.stages.select import check_pool, check_selected, check_selection, select_genotype


def named_stages(run: Run, command: str) -> tuple[str, ...]:
    """The stages of a command: for `run` those of the config, for every other one its own."""
    if command == "run":
        return run.config.stages
    if command != "search":
        return (command,)
    if run.config.select is None:
        return ("search", "derive")
    return tuple(stage for stage in run.config.stages if stage in ("search", "derive", "select"))


def run_stages(
    run: Run, stages: Sequence[str], *, fresh: bool, data: DataOpener | None = None
) -> None:
    """Runs stages in order in one process; each starts from what is on disk.

    `data` opens other data than the config names.
    Everything that can be wrong with the user's input is looked at before anything is written.
    """
    check_directory(run, fresh=fresh)
    if {"search", "select"} & {*stages} and run.config.genotype is not None:
        raise UserError(
            f"genotype {run.config.genotype}: given, but this command searches for one; use jaxnas "
            f"train, or stages: [train, evaluate, report]"
        )
    kind = task_kind(run.config)
    functions = {
        "search": _search,
        "derive": lambda run, cohort, writer: kind.derive(run, cohort),
        "select": lambda run, cohort, writer: select_genotype(run, kind, cohort, writer),
        "train": _train,
        "evaluate": lambda run, cohort, writer: evaluate_cohort(run, kind, cohort),
        "report": _report,
    }
    cohort = prepare(run, stages, fresh=fresh, data=data)
    inputs = describe_inputs(cohort.held(), run.config.latency and run.config.latency.table)
    if not fresh:
        check_inputs(run.dir.inputs, inputs)
    run.log(f"run directory {run.path}")
    with claim(run, fresh=fresh), MetricWriter(run.path) as writer:
        keep_inputs(run.dir.inputs, inputs)
        for stage in stages:
            functions[stage](run, cohort, writer)


def prepare(
    run: Run, stages: Sequence[str], *, fresh: bool, data: DataOpener | None = None
) -> Cohort:
    """The data of a run, each seen to have what the stages need; writes nothing."""
    config, kind = run.config, task_kind(run.config)
    data = data or kind.data
    kind.check_config(config, stages)
    nets = {}
    if "train" in stages:
        finds = bool({"search", "select"} & {*stages})
        if config.select is not None and config.genotype is None and not finds:
            check_selected(run)
        nets = kind.networks(run, searched=finds, fresh=fresh)
    cohort = open_cohort(config, data)
    if {"search", "select", "train", "evaluate"} & {*stages}:
        cohort.each(lambda name, dataset: data.check(dataset))
    kind.check_device(config, cohort)
    if "search" in stages:
        searched = cohort if cohort.weights else cohort.head
        check_search_data(config, searched)
        if cohort.weights:
            check_federated_search(config, cohort, kind.problem(config))
        else:
            check_search(config, searched)
    if "select" in stages:
        check_selection(config, cohort)
        check_pool(run, kind, cohort)
    if "train" in stages:
        check_training_data(config, cohort)
        whole = training_cohort(config, cohort)
        if cohort.weights:
            check_methods(config, kind.task(config), nets, whole)
        else:
            check_training(config, whole)
    if cohort.weights and {"search", "train"} & {*stages}:
        for name in cohort.names:
            run.log(describe_client(cohort, name))
    return cohort


def open_cohort(config: Experiment, data: DataOpener) -> Cohort:
    """The clients of a config, the folds that it trains on, or its one site."""
    if config.federated is not None:
        return open_clients(config, data)
    folds = getattr(config.train, "folds", None) or (None,)
    if folds != (None,) and config.data.split.method == "fractions":
        raise UserError(
            "train.folds: only data.split.method nnunet and modulo have folds, found fractions; "
            "set one of them, or folds: null"
        )
    source = data.open_source(config)
    return Cohort({fold_name(fold): data.dataset(config, source, fold=fold) for fold in folds})


def task_kind(config: Experiment) -> TaskKind:
    """The kind of task of a config."""
    return resolve(config.kind)


def _search(run: Run, cohort: Cohort, writer: MetricWriter) -> None:
    """Searches across clients, else at the site, or on the first of its folds."""
    kind = task_kind(run.config)
    problem = kind.measured_problem(run, cohort)
    if cohort.weights:
        write_clients(run.dir, cohort)
        genotype = search_clients(run, cohort, problem, writer)
    else:
        genotype = search_site(run, cohort.head, problem, writer)
    if not run.dir.candidates.exists():  # a selection has begun, whose winner takes its place
        kind.keep_found(run, genotype)


def _train(run: Run, cohort: Cohort, writer: MetricWriter) -> None:
    """Trains the networks of the config; those that are one network once."""
    kind = task_kind(run.config)
    kind.keep_genotypes(run)
    nets, task = kind.networks(run), kind.task(run.config)
    log_training(run, cohort)
    whole = training_cohort(run.config, cohort)
    if cohort.weights:
        write_clients(run.dir, cohort)
        train_methods(run, task, nets, whole, writer)
        return
    for name, first in kind.trained_as(nets).items():
        if name != first:
            run.log(f"{name}: the network of {first}, trained once")
            del nets[name]
    train_all(run, task, nets, whole, writer)


def _report(run: Run, cohort: Cohort, writer: MetricWriter) -> None:
    from jaxnas.report.html import write_report

    run.log(f"report {write_report(run.path)}")
