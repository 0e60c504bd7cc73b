"""The stages of a run that are particular to segmentation."""

from collections.abc import Sequence

from jaxnas.cli.searching import run_search
from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.labeled import LabeledData
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.run import Run
from jaxnas.engine.segmentation import segmentation_task as make_task
from jaxnas.search.deployed import load_deployment
from jaxnas.search.derive_networks import check_paths_exist, derive_networks
from jaxnas.search.device import calibration_name, given_table, load_calibration
from jaxnas.search.methods import SearchProblem
from jaxnas.search.profile import operation_times, two_level_space
from jaxnas.search.segmentation_evaluation import evaluate_networks
from jaxnas.search.segmentation_networks import check_models, keep_genotypes, trained_as
from jaxnas.search.segmentation_networks import networks as make_networks
from jaxnas.search.two_level import searched_weights, two_level_objective, two_level_problem

DATA = LabeledData()

__all__ = ["DATA", "keep_genotypes", "make_networks", "make_task", "trained_as"]


def check_config(config: SegmentationConfig, stages: Sequence[str]) -> None:
    """UserError for networks that there are not, a latency table of another device or without an
    operation, and more paths than there are."""
    check_models(config)
    if config.latency.table is not None:
        operation_times(given_table(config.latency), config, where=config.latency.table)
    if "derive" in stages:
        check_paths_exist(config.decode, two_level_space(config).grid)


def check_device(config: SegmentationConfig, cohort: Cohort) -> None:
    """No latency depends on the data."""


def make_problem(config: SegmentationConfig) -> SearchProblem:
    """The search for accuracy of a config, to look into; nothing is measured."""
    return two_level_problem(config)


def search(run: Run, cohort: Cohort, writer: MetricWriter) -> None:
    """Measures the device, then searches cells and betas; networks are decoded later."""
    config, deployment = run.config, load_deployment(run)
    fitted, where = load_calibration(run, deployment), calibration_name(run)
    space, times = deployment.space, deployment.times
    objective = two_level_objective(config, space, times, fitted, where=where)
    run_search(run, cohort, two_level_problem(config, objective=objective), writer)


def derive(run: Run, cohort: Cohort, writer: MetricWriter) -> None:
    """Decodes networks out of what was searched, and measures them."""
    deployment = load_deployment(run)
    fitted = load_calibration(run, deployment)
    derive_networks(run, deployment, searched_weights(run), fitted)


def evaluate(run: Run, cohort: Cohort, writer: MetricWriter) -> None:
    """Compares the networks of the config on the test volumes."""
    if cohort.weights:
        from jaxnas.fed import segmentation_comparison

        segmentation_comparison.compare(run, make_networks(run), cohort)
    else:
        evaluate_networks(run, make_networks(run), cohort)
