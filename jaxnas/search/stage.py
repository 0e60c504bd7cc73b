"""The search at one site: from a problem to alphas.json and a genotype.

Its length in steps follows one rule, whatever the task and the setting.
"""

from collections.abc import Iterator
from typing import Any

from jaxnas.core import rng
from jaxnas.core.sections import Experiment
from jaxnas.data.batches import HalfBatches
from jaxnas.engine.checkpoint import CheckpointStore
from jaxnas.engine.clock import Clock
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.groups import search_streams
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.loop import Cadence, run_loop
from jaxnas.engine.optim import check_schedule, make_optimizer
from jaxnas.engine.run import Run
from jaxnas.engine.step import CompiledStep
from jaxnas.engine.task import Dataset
from jaxnas.search.methods import SearchProblem, make_method
from jaxnas.search.moves import init_search_state
from jaxnas.search.section import check_warmup
from jaxnas.spaces.genotype import Genotype

RANKING_BATCHES = 8


def search_site(run: Run, cohort: Cohort, problem: SearchProblem, writer: MetricWriter) -> Genotype:
    """Searches on the only member of a cohort, writes alphas.json and returns the genotype."""
    (batches,), clock = search_streams(run.config, cohort).values(), Clock()
    config = config_in_steps(run.config, search_steps(run.config, batches.per_epoch)).search
    method = make_method(config, problem)
    w_tx = make_optimizer(config.weights, config.steps)
    a_tx = make_optimizer(config.alphas, config.steps)
    key = rng.root_key(run.config.seed)
    variables = problem.init(rng.stream(key, "init", 0))
    key = rng.stream(key, "search", 0)
    with CheckpointStore(run.dir.checkpoints("search"), keep=2) as store:
        state = run_loop(
            CompiledStep(method.make_step(config, w_tx, a_tx), clock),
            init_search_state(key, variables["params"], variables["alphas"], w_tx, a_tx),
            batches,
            steps=config.steps,
            store=store,
            writer=writer,
            stage="search",
            model=problem.space.name,
            every=Cadence(log=config.check_every, checkpoint=run.config.checkpoint_every),
            on_log=lambda step, state, row: method.on_log(step, state.alphas, row),
            host=method.history,
            clock=clock,
            quiet=run.quiet,
        )
    genotype = method.conclude(state.key, state.params, ranking_batches([batches]))
    run.dir.alphas.write(method.history.summary())
    run.dir.record_timing("search", clock.summary())
    return genotype


def ranking_batches(streams: list[HalfBatches]) -> Iterator[Any]:
    """Validation batches to rank candidates on: the same number of every stream's."""
    each = -(-RANKING_BATCHES // len(streams))
    for i in range(each):
        for stream in streams:
            yield stream.valid.batch(i)


def search_steps(config: Experiment, per_epoch: int) -> int:
    """The steps of a search at one site, for `per_epoch` batches of the half of the weights.

    UserError where the alphas would never move, or a schedule does not fit.
    """
    steps = config.search.in_steps(per_epoch)
    check_warmup(config, steps)
    check_optimizers(config, steps)
    return steps


def check_search(config: Experiment, cohort: Cohort) -> None:
    """UserError where a search at one site does not fit into its steps; reads no image."""

    def check(name: str, dataset: Dataset) -> None:
        slices, _ = dataset.half_counts(cohort.seed(config.seed, name, "search"))
        search_steps(config, -(-slices // config.search.batch))

    cohort.each(check)


def check_optimizers(config: Experiment, steps: int) -> None:
    """UserError for a schedule that does not fit into a search of `steps` steps."""
    for name in ("weights", "alphas"):
        check_schedule(getattr(config.search, name), steps, key=f"search.{name}")


def config_in_steps(config: Experiment, steps: int, *, per_round: int = 1) -> Any:
    """The config of a search of `steps` steps.

    What a config counts in steps of the search (`warmup`, `check_every`) is counted in rounds
    across clients, of `per_round` steps each.
    """
    warmup = config.search.held(steps // per_round) * per_round
    changed = {"steps": steps, "epochs": None, "warmup": warmup}
    return config.model_copy(update={"search": config.search.model_copy(update=changed)})
