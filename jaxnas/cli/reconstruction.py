"""The stages of a run that are particular to reconstruction."""

from collections.abc import Mapping, Sequence

from flax import linen as nn

from jaxnas.cli.searching import run_search
from jaxnas.cli.unrolled_latency import check_latency, load_objective, log_derived
from jaxnas.core.schema import Config
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.rates import run_rates
from jaxnas.engine.reconstruction import keep_genotype as keep_genotypes
from jaxnas.engine.reconstruction import reconstruction_task as make_task
from jaxnas.engine.reconstruction import trainable as make_networks
from jaxnas.engine.run import Run
from jaxnas.engine.sources import KspaceData
from jaxnas.search.methods import SearchProblem
from jaxnas.search.unrolled_problem import unrolled_problem

DATA = KspaceData()

__all__ = ["DATA", "keep_genotypes", "make_networks", "make_task"]


def check_config(config: Config, stages: Sequence[str]) -> None:
    """Nothing is left to check before the data are opened."""


def check_device(config: Config, cohort: Cohort) -> None:
    """UserError for a latency table that is of another device, or lacks an operation."""
    check_latency(config, cohort.first)


def make_problem(config: Config) -> SearchProblem:
    """The search for accuracy of a config, to look into; nothing is measured."""
    return unrolled_problem(config)


def search(run: Run, cohort: Cohort, writer: MetricWriter) -> None:
    """Searches and writes the genotype."""
    objective = load_objective(run, cohort.first)
    problem = unrolled_problem(run.config, objective=objective, rates=run_rates(run))
    run.dir.genotype.write(run_search(run, cohort, problem, writer))


def derive(run: Run, cohort: Cohort, writer: MetricWriter) -> None:
    """Shows the genotype, and how long its network takes where a latency is asked for."""
    log_derived(run, cohort.first)


def trained_as(nets: Mapping[str, nn.Module]) -> dict[str, str]:
    """The name under which each network is trained: its own."""
    return {name: name for name in nets}


def evaluate(run: Run, cohort: Cohort, writer: MetricWriter) -> None:
    """Compares the networks of the config on the test volumes."""
    if cohort.weights:
        from jaxnas.fed.comparison import compare as compare_clients

        compare_clients(run, cohort)
    else:
        from jaxnas.engine.comparison import compare

        compare(run, cohort.first)
