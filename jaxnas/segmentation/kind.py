"""Segmentation as the stages see it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flax import linen as nn

from jaxnas.engine.cohort import Cohort
from jaxnas.engine.networks import DERIVED, Artefact, Trained
from jaxnas.engine.run import Run
from jaxnas.search.device import given_table, load_calibration, load_objective
from jaxnas.search.latency_table import LatencyTable, OnPart
from jaxnas.search.methods import SearchProblem
from jaxnas.search.task_kind import TaskKind
from jaxnas.segmentation.apply import segmentation_artefact
from jaxnas.segmentation.candidates import GridCandidates, load_candidates
from jaxnas.segmentation.dataset import LabeledData
from jaxnas.segmentation.deployment import load_deployment, two_level_network
from jaxnas.segmentation.derive import check_paths_exist, derive_networks
from jaxnas.segmentation.evaluate import SegmentationEvaluator
from jaxnas.segmentation.inspect import inspect_segmentation
from jaxnas.segmentation.networks import check_models, keep_genotypes, networks, trained_as
from jaxnas.segmentation.profile import operation_times, profile_operations, two_level_space
from jaxnas.segmentation.section import SegmentationConfig
from jaxnas.segmentation.task import (
    Segmentation,
    searched_weights,
    segmentation_task,
    two_level_problem,
)
from jaxnas.spaces.genotype import Genotype


class SegmentationKind(TaskKind):
    """The `TaskKind` of networks that find labels in an image."""

    data = LabeledData()

    def check_config(self, config: SegmentationConfig, stages: Sequence[str]) -> None:
        """UserError for networks that there are not, a latency table of another device or without
        an operation, and more paths than there are."""
        check_models(config)
        if config.latency.table is not None:
            operation_times(given_table(config.latency.table), config, where=config.latency.table)
        if "derive" in stages:
            check_paths_exist(config.decode, two_level_space(config).grid)

    def networks(
        self, run: Run, *, searched: bool = False, fresh: bool = False
    ) -> dict[str, nn.Module]:
        """The networks of the config by name."""
        return networks(run, searched=searched, fresh=fresh)

    def keep_genotypes(self, run: Run) -> None:
        """Copies the genotypes that the config gives into the run."""
        keep_genotypes(run)

    def trained_as(self, nets: Mapping[str, nn.Module]) -> dict[str, str]:
        """The name under which each network is trained: the first of those that are the same."""
        return trained_as(nets)

    def task(self, config: SegmentationConfig) -> Segmentation:
        """The task of a config."""
        return segmentation_task(config)

    def problem(self, config: SegmentationConfig) -> SearchProblem:
        """The search for accuracy of a config, to look into; nothing is measured."""
        return two_level_problem(config)

    def measured_problem(self, run: Run, cohort: Cohort) -> SearchProblem:
        """The search of a run, with an objective on the latency of this device."""
        objective = load_objective(run, load_deployment(run))
        return two_level_problem(run.config, objective=objective)

    def keep_found(self, run: Run, genotype: Genotype) -> None:
        """Nothing: networks are decoded out of alphas.json later."""

    def derive(self, run: Run, cohort: Cohort) -> None:
        """Decodes networks out of what was searched, and measures them."""
        deployment = load_deployment(run)
        fitted = load_calibration(run, deployment)
        derive_networks(run, deployment, searched_weights(run), fitted)

    def network(
        self, config: SegmentationConfig, name: str, genotype: Genotype | None
    ) -> nn.Module:
        """The network `name` of a config, `derived` that of `genotype`."""
        if name != DERIVED or genotype is None:
            return super().network(config, name, genotype)
        return two_level_network(config, genotype)

    def candidates(self, run: Run, cohort: Cohort) -> GridCandidates:
        """The networks that a selection draws its candidates from."""
        return load_candidates(run)

    def evaluator(self, run: Run) -> SegmentationEvaluator:
        """The comparison of the networks of a run."""
        return SegmentationEvaluator(run)

    def artefact(self, run: Run, trained: Trained) -> Artefact:
        """A trained network as one file."""
        return segmentation_artefact(run, trained)

    def profile(
        self, config: SegmentationConfig, open_cohort: Callable[[], Cohort], *, on_part: OnPart
    ) -> LatencyTable:
        """Times every part of the networks on the grid; no latency depends on the data."""
        return profile_operations(config, on_part=on_part)

    def inspect(
        self,
        config: SegmentationConfig,
        genotype: Path | None,
        target: Path,
        *,
        supernet: bool,
        as_json: bool,
    ) -> None:
        """Prints the grid and one row per network, as tables or as JSON."""
        inspect_segmentation(config, genotype, target, as_json=as_json)


KIND = SegmentationKind()
