"""The stages of a run that are particular to segmentation."""

from collections.abc import Sequence

from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.labeled import LabeledData
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.run import Run
from jaxnas.engine.segmentation import segmentation_task as make_task
from jaxnas.search import two_level
from jaxnas.search.deployed import load_deployment
from jaxnas.search.derive_networks import check_paths_exist, derive_networks
from jaxnas.search.device import calibration_name, given_table, load_calibration
from jaxnas.search.profile import operation_times, two_level_space
from jaxnas.search.segmentation_evaluation import evaluate_networks
from jaxnas.search.segmentation_networks import check_models, keep_genotypes, trained_as
from jaxnas.search.segmentation_networks import networks as make_networks

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


def check_federated_search(config: SegmentationConfig, cohort: Cohort) -> None:
    """UserError for settings of a search across clients that do not go together."""
    from jaxnas.fed.segmentation_search import check_search

    check_search(config, cohort)


def search(run: Run, cohort: Cohort, writer: MetricWriter) -> None:
    """Measures the device, then searches cells and betas."""
    space, deployment = two_level_space(run.config), load_deployment(run)
    fitted, where = load_calibration(run, deployment), calibration_name(run)
    aim = two_level.make_aim(run.config, space, deployment.times, fitted, where=where)
    if cohort.weights:
        from jaxnas.fed import segmentation_search

        segmentation_search.search(run, cohort, writer, aim)
    else:
        two_level.search(run, space, cohort.head, writer, aim)


def derive(run: Run, cohort: Cohort, writer: MetricWriter) -> None:
    """Decodes networks out of what was searched, and measures them."""
    deployment = load_deployment(run)
    fitted = load_calibration(run, deployment)
    derive_networks(run, deployment, two_level.searched_weights(run), fitted)


def evaluate(run: Run, cohort: Cohort, writer: MetricWriter) -> None:
    """Compares the networks of the config on the test volumes."""
    if cohort.weights:
        from jaxnas.fed import segmentation_comparison

        segmentation_comparison.compare(run, make_networks(run), cohort)
    else:
        evaluate_networks(run, make_networks(run), cohort)
