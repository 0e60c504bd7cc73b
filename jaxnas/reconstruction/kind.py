"""Reconstruction as the stages see it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from flax import linen as nn

from jaxnas.engine.cohort import Cohort
from jaxnas.engine.networks import Artefact, Trained, model_names, models_key
from jaxnas.engine.rates import run_rates
from jaxnas.engine.run import Run
from jaxnas.reconstruction.apply import reconstruction_artefact
from jaxnas.reconstruction.candidates import UnrolledCandidates
from jaxnas.reconstruction.deployment import (
    check_latency,
    find_objective,
    log_derived,
    scan_of,
    with_latency,
)
from jaxnas.reconstruction.evaluate import ReconstructionEvaluator
from jaxnas.reconstruction.inspect import inspect_config
from jaxnas.reconstruction.networks import build_network, check_names
from jaxnas.reconstruction.profile import profile_unrolled
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.reconstruction.source import KspaceData
from jaxnas.reconstruction.task import Reconstruction, reconstruction_task, unrolled_problem
from jaxnas.search.history import searched_genotypes
from jaxnas.search.latency_table import LatencyTable, OnPart
from jaxnas.search.methods import SearchProblem
from jaxnas.search.task_kind import TaskKind
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.supernet import fit_genotype


class ReconstructionKind(TaskKind):
    """The `TaskKind` of networks that make an image out of undersampled k-space."""

    data = KspaceData()

    def check_config(self, config: ReconstructionConfig, stages: Sequence[str]) -> None:
        """UserError for networks that there are not."""
        check_names(model_names(config), where=models_key(config))

    def check_device(self, config: ReconstructionConfig, cohort: Cohort) -> None:
        """UserError for a latency table that is of another device, or lacks an operation."""
        check_latency(config, cohort.first)

    def check_genotype(
        self, config: ReconstructionConfig, genotype: Genotype, *, where: str
    ) -> Genotype:
        """Returns a genotype of the config's space and number of nodes; UserError for others."""
        return fit_genotype(config.network, genotype, where=where)

    def task(self, config: ReconstructionConfig) -> Reconstruction:
        """The task of a config."""
        return reconstruction_task(config)

    def problem(self, config: ReconstructionConfig) -> SearchProblem:
        """The search for accuracy of a config, to look into; nothing is measured."""
        return unrolled_problem(config)

    def measured_problem(self, run: Run, cohort: Cohort) -> SearchProblem:
        """The search of a run, with the objective and the rates of this device."""
        objective = find_objective(run, cohort.first)
        return unrolled_problem(run.config, objective=objective, rates=run_rates(run))

    def derive(self, run: Run, cohort: Cohort) -> None:
        """Shows the genotype, and how long its network takes where a latency is asked for."""
        log_derived(run, cohort.first)

    def network(
        self, config: ReconstructionConfig, name: str, genotype: Genotype | None
    ) -> nn.Module:
        """The network `name` of a config, `derived` that of `genotype`."""
        return build_network(name, config.network, genotype=genotype)

    def candidates(self, run: Run, cohort: Cohort) -> UnrolledCandidates:
        """The networks that a selection draws its candidates from."""
        scan = scan_of(run.config, cohort.first)
        found = searched_genotypes(run.dir.alphas)
        return UnrolledCandidates(run.config, scan.size, found)

    def evaluator(self, run: Run) -> ReconstructionEvaluator:
        """The comparison of the networks of a run."""
        return ReconstructionEvaluator(run.config)

    def artefact(self, run: Run, trained: Trained) -> Artefact:
        """A trained network as one file."""
        return reconstruction_artefact(run, trained)

    def profile(
        self, config: ReconstructionConfig, open_cohort: Callable[[], Cohort], *, on_part: OnPart
    ) -> LatencyTable:
        """Times every operation on the k-space that the networks are applied to."""
        scan = scan_of(config, open_cohort().first)
        return profile_unrolled(with_latency(config), scan, on_part=on_part)

    def inspect(
        self,
        config: ReconstructionConfig,
        genotype: Path | None,
        target: Path,
        *,
        supernet: bool,
        as_json: bool,
    ) -> None:
        """Prints one row per network, as a table or as JSON."""
        inspect_config(config, genotype, target, whole=supernet, as_json=as_json)


KIND = ReconstructionKind()
