"""The search stage of a segmentation across clients."""

from dataclasses import replace

from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.engine.clock import Clock
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.run import Run
from jaxnas.fed.local import search_batches
from jaxnas.fed.search import FederatedSearch, search_federation, search_rounds
from jaxnas.search.objective import ACCURACY, SearchObjective
from jaxnas.search.profile import two_level_space
from jaxnas.search.two_level import TwoLevelSearch, make_search


def check_search(config: SegmentationConfig, cohort: Cohort) -> None:
    """Raises UserError for whatever a search would stumble over; computes and writes nothing."""
    parts = make_search(config, two_level_space(config), ACCURACY)
    search_federation(config, _federated(parts, cohort), Clock())


def search(run: Run, cohort: Cohort, writer: MetricWriter, aim: SearchObjective) -> None:
    """Searches cells and betas across clients and writes alphas.json.

    The `aim` is the same at every client: a latency does not depend on anybody's images.
    """
    parts = make_search(run.config, two_level_space(run.config), aim)
    search_rounds(run, _federated(parts, cohort), writer)
    parts.conclude(run)


def _federated(parts: TwoLevelSearch, cohort: Cohort) -> FederatedSearch:
    return FederatedSearch(
        cohort,
        search_batches(parts.config, cohort),
        parts.init,
        lambda local, w_tx, a_tx: replace(parts, config=local).make_step(w_tx, a_tx),
        parts.on_log,
        parts.history,
    )
