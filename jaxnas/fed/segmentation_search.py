"""The search stage of a segmentation across clients."""

from collections.abc import Sequence
from dataclasses import replace

from jaxnas.core.segmentation_schema import SegmentationConfig
from jaxnas.engine.clock import Clock
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.run import Run
from jaxnas.fed.labeled_clients import LabeledClient
from jaxnas.fed.members import check_search_members
from jaxnas.fed.search import FederatedSearch, search_federation, search_rounds
from jaxnas.fed.segmentation import search_cohort
from jaxnas.search.objective import ACCURACY, SearchObjective
from jaxnas.search.profile import two_level_space
from jaxnas.search.two_level import TwoLevelSearch, make_search


def check_search(config: SegmentationConfig, clients: Sequence[LabeledClient]) -> None:
    """Raises UserError for whatever a search would stumble over; computes and writes nothing."""
    check_search_members(config, clients)
    parts = make_search(config, two_level_space(config), ACCURACY)
    search_federation(config, _federated(parts, clients), Clock())


def search(
    run: Run, clients: Sequence[LabeledClient], writer: MetricWriter, aim: SearchObjective
) -> None:
    """Searches cells and betas across clients and writes alphas.json.

    The `aim` is the same at every client: a latency does not depend on anybody's images.
    """
    parts = make_search(run.config, two_level_space(run.config), aim)
    search_rounds(run, _federated(parts, clients), writer)
    parts.conclude(run)


def _federated(parts: TwoLevelSearch, clients: Sequence[LabeledClient]) -> FederatedSearch:
    return FederatedSearch(
        search_cohort(parts.config, clients),
        parts.init,
        lambda local, w_tx, a_tx: replace(parts, config=local).make_step(w_tx, a_tx),
        parts.on_log,
        parts.history,
    )
