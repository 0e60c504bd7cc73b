"""The contract of a kind of task: all that the stages need of it, whatever the setting."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from flax import linen as nn

from jaxnas.core.errors import UserError
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.networks import DERIVED, Artefact, Trained, model_names, settle_genotype
from jaxnas.engine.run import Run
from jaxnas.engine.task import DataOpener, Evaluator, Task
from jaxnas.search.latency_table import LatencyTable, OnPart
from jaxnas.search.methods import SearchProblem
from jaxnas.search.pool import CandidateSource
from jaxnas.spaces.genotype import Genotype, describe


class TaskKind(Protocol):
    """A kind of task, such as reconstruction. A stage knows no more of a task than this.

    A class that inherits it trains what is searched: it has to say `data`, `network`, `task`,
    `problem` and `evaluator`.
    """

    data: DataOpener

    def check_config(self, config: Any, stages: Sequence[str]) -> None:
        """UserError for what a config asks and there is not; opens no data."""

    def check_device(self, config: Any, cohort: Cohort) -> None:
        """UserError for a latency table that is of another device, or lacks an operation."""

    def network(self, config: Any, name: str, genotype: Genotype | None) -> nn.Module:
        """The network `name` of a config, `derived` that of `genotype`; UserError for no such."""
        raise UserError(f"task {config.task}: builds no network {name!r}")

    def networks(
        self, run: Run, *, searched: bool = False, fresh: bool = False
    ) -> dict[str, nn.Module]:
        """The networks of the config by name; builds them, computes and writes nothing.

        With `searched` a search of the same command is still to find some, and they are left out;
        with `fresh` what the run holds is about to go. UserError where a genotype is missing or
        misfits.
        """
        names = [n for n in model_names(run.config) if not (searched and n == DERIVED)]
        found = self.genotype(run, fresh=fresh) if DERIVED in names else None
        return {name: self.network(run.config, name, found) for name in names}

    def genotype(self, run: Run, *, fresh: bool = False) -> Genotype:
        """The genotype that a run trains, see `settle_genotype`."""
        check = functools.partial(self.check_genotype, run.config)
        return settle_genotype(run.dir.genotype, run.config.genotype, check=check, fresh=fresh)

    def check_genotype(self, config: Any, genotype: Genotype, *, where: str) -> Genotype:
        """Returns a genotype that the config can hold; UserError, naming `where`, for others."""
        return self.problem(config).space.check(genotype, where=where)

    def keep_genotypes(self, run: Run) -> None:
        """Copies the genotypes that are trained into the run."""
        if DERIVED in model_names(run.config):
            run.dir.genotype.write(self.genotype(run))

    def trained_as(self, nets: Mapping[str, nn.Module]) -> dict[str, str]:
        """The name under which each network is trained: the first of those that are the same; by
        default its own."""
        return {name: name for name in nets}

    def task(self, config: Any) -> Task:
        """The task of a config."""
        ...

    def problem(self, config: Any) -> SearchProblem:
        """The search for accuracy of a config, to look into; nothing is measured."""
        ...

    def measured_problem(self, run: Run, cohort: Cohort) -> SearchProblem:
        """The search of a run, with the objective and the rates of this device; by default that
        for accuracy."""
        return self.problem(run.config)

    def keep_found(self, run: Run, genotype: Genotype) -> None:
        """Writes the genotype at the end of a search, unless that is not what it is for."""
        run.dir.genotype.write(genotype)

    def derive(self, run: Run, cohort: Cohort) -> None:
        """Makes networks of what was searched, and measures them where a latency is asked for; by
        default shows the genotype."""
        if run.dir.genotype.exists():
            run.log(f"genotype {describe(run.dir.genotype.read())}")

    def candidates(self, run: Run, cohort: Cohort) -> CandidateSource:
        """The networks that a selection draws its candidates from; UserError for none."""
        raise UserError(f"select: task {run.config.task} has no candidates; leave select out")

    def evaluator(self, run: Run) -> Evaluator:
        """The comparison of the networks of a run."""
        ...

    def artefact(self, run: Run, trained: Trained) -> Artefact:
        """A trained network as one file that runs without this library."""
        ...

    def profile(
        self, config: Any, open_cohort: Callable[[], Cohort], *, on_part: OnPart
    ) -> LatencyTable:
        """Times every operation that a network of the config may have on this device."""
        raise UserError(f"task {config.task}: has no operations to time; leave profile out")

    def inspect(
        self,
        config: Any,
        genotype: Path | None,
        target: Path,
        *,
        supernet: bool,
        as_json: bool,
    ) -> None:
        """Prints the structure and the size of the networks of a config; trains nothing."""
        raise UserError(f"task {config.task}: has nothing to inspect before it is trained")
