"""The select stage: of a pool of candidates the best by real training, as genotype.json.

Candidates are trained as the stage train would train them, on the same volumes and from the same
key, and ranked on the validation volumes: at one site (the first of its folds) or across clients,
whose rungs are rounds. The winner's training is handed over to the stage train, which goes on with
it. candidates.csv holds all that a selection has seen: with it one that was killed goes on.
"""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from typing import Any

from jaxnas.core.errors import START_OVER, UserError
from jaxnas.core.sections import Experiment
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.groups import training_cohort
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.networks import DERIVED, model_names, models_key
from jaxnas.engine.run import Run
from jaxnas.engine.rundir import table_text
from jaxnas.engine.training import SiteTraining
from jaxnas.fed.training import ClientTraining
from jaxnas.search.halving import SELECTED, Trial, halve_candidates, rung_lengths
from jaxnas.search.pool import Candidate, draw_pool
from jaxnas.search.task_kind import TaskKind
from jaxnas.spaces.genotype import describe

STAGE = "select"


def check_selection(config: Experiment, cohort: Cohort) -> None:
    """UserError where nothing would train what is selected, or a member has no volumes to rank
    candidates on."""
    if DERIVED not in model_names(config):
        raise UserError(
            f"select: chooses the network {DERIVED}, but {models_key(config)} does not train it; "
            f"add it there"
        )

    def check(name: str, dataset: Any) -> None:
        if not dataset.groups["valid"]:
            raise UserError(
                "select: no volume is set aside for validation, on which candidates are ranked; "
                "give data.split a valid_fraction above 0, or names for valid where it takes them"
            )

    (cohort if cohort.weights else cohort.head).each(check)


def check_pool(run: Run, kind: TaskKind, cohort: Cohort) -> None:
    """UserError where too few candidates fit the budget; not for one in milliseconds, for which the
    device is yet to be measured."""
    if run.config.select.budget.ms is None:
        draw_pool(kind.candidates(run, cohort), run.config.select, run.config.seed)


def check_selected(run: Run) -> None:
    """UserError where the selection that a config asks for is not at its end."""
    rows = run.dir.candidates.read() if run.dir.candidates.exists() else []
    chosen = [json.loads(row["genotype"]) for row in rows if row["outcome"] == SELECTED]
    own = [run.dir.genotype.read().to_json()] if run.dir.genotype.exists() else []
    if not chosen or chosen != own:
        raise UserError(
            f"{run.path}: its network is not selected yet; run jaxnas search first, or give "
            f"--genotype FILE"
        )


def select_genotype(run: Run, kind: TaskKind, cohort: Cohort, writer: MetricWriter) -> None:
    """Draws the pool, halves it, and writes the genotype that is left."""
    asked = run.config.select
    pool = draw_pool(kind.candidates(run, cohort), asked, run.config.seed)
    members = training_cohort(run.config, cohort if cohort.weights else cohort.head)
    make = ClientTraining if cohort.weights else SiteTraining
    training = make(run, kind.task(run.config), members, writer)
    lengths = rung_lengths(training.length, rungs=asked.rungs, eta=asked.eta)
    table = CandidateTable(run, pool, lengths)
    nets = [kind.network(run.config, DERIVED, candidate.genotype) for candidate in pool]
    of, settled = f"of {training.length} {training.unit}", table.settled
    if not settled:
        origins = Counter(candidate.origin for candidate in pool)
        said = ", ".join(f"{count} {origin}" for origin, count in origins.items())
        run.log(f"select {len(pool)} candidates: {said}; rungs at {_listed(lengths)} {of}")

    def reach(number: int, length: int) -> float:
        return training.reach(STAGE, name_of(number), nets[number], until=length)

    def on_rung(rung: int, ranked: Sequence[Trial]) -> None:
        if not settled:
            best, worst = ranked[0], ranked[-1]
            run.log(
                f"rung {rung + 1} at {lengths[rung]} {of}: {name_of(best.number)} "
                f"({pool[best.number].origin}) {best.scores[rung]:.3f}, the last of {len(ranked)} "
                f"{worst.scores[rung]:.3f}"
            )

    winner = halve_candidates(
        table.trials, lengths, reach, eta=asked.eta, on_change=table.write, on_rung=on_rung
    )
    name, chosen = name_of(winner.number), pool[winner.number]
    run.dir.genotype.write(chosen.genotype)
    training.adopt(STAGE, name, nets[winner.number])
    if isinstance(training, ClientTraining):  # the winner's rounds are counted where it goes on
        others = [trial for trial in table.trials if trial is not winner]
        reached = {name_of(t.number): lengths[max(len(t.scores), 1) - 1] for t in others}
        training.note_traffic(STAGE, reached, {name_of(n): net for n, net in enumerate(nets)})
    for trial in table.trials:
        shutil.rmtree(run.dir.checkpoints(f"{STAGE}-{name_of(trial.number)}"), ignore_errors=True)
    run.log(
        f"selected {name} ({chosen.origin}), {chosen.cost['macs'] / 1e6:,.1f} MMACs, "
        f"{chosen.cost['params']:,} parameters: {describe(chosen.genotype)}"
    )


def name_of(number: int) -> str:
    """The name of a candidate in checkpoints and in the log."""
    return f"candidate{number + 1:02d}"


class CandidateTable:
    """candidates.csv: one row per candidate, with its score at every rung that it reached."""

    def __init__(self, run: Run, pool: Sequence[Candidate], lengths: Sequence[int]) -> None:
        self._file, self._pool, self._lengths = run.dir.candidates, pool, lengths
        self.trials = [Trial(number) for number in range(len(pool))]
        if self._file.exists():
            self._read()

    @property
    def settled(self) -> bool:
        """True once a candidate is selected."""
        return any(trial.outcome == SELECTED for trial in self.trials)

    def write(self) -> None:
        """Replaces the table."""
        rows = [self._row(trial) for trial in self.trials]
        self._file.write(table_text(rows))

    def _row(self, trial: Trial) -> dict[str, Any]:
        candidate = self._pool[trial.number]
        scores = dict(zip(self._lengths, trial.scores))
        return {
            "candidate": name_of(trial.number),
            "origin": candidate.origin,
            **candidate.cost,
            **{f"score_{length}": scores.get(length, "") for length in self._lengths},
            "outcome": trial.outcome,
            "genotype": json.dumps(candidate.genotype.to_json(), separators=(",", ":")),
        }

    def _read(self) -> None:
        rows = self._file.read()
        expected = [self._row(trial)["genotype"] for trial in self.trials]
        if [row.get("genotype") for row in rows] != expected:
            raise UserError(
                f"{self._file}: holds other candidates than this config draws; restore the table, "
                f"or use another --workdir ({START_OVER})"
            )
        for trial, row in zip(self.trials, rows):
            seen = [row.get(f"score_{length}", "") for length in self._lengths]
            trial.scores = [float(score) for score in seen if score]
            # What was dropped is dropped again at its rung; what diverged is not tried again.
            trial.outcome = row["outcome"]


def _listed(lengths: Sequence[int]) -> str:
    *first, last = map(str, lengths)
    return f"{', '.join(first)} and {last}" if first else last
