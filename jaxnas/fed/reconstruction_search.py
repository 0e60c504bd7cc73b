"""The search stage of a reconstruction across clients."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from jaxnas.core.schema import Config
from jaxnas.engine.clock import Clock
from jaxnas.engine.cohort import Cohort
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.rates import run_rates
from jaxnas.engine.run import Run
from jaxnas.fed.local import ClientBatches, search_batches
from jaxnas.fed.search import FederatedSearch, search_federation, search_rounds
from jaxnas.models.networks import init_variables
from jaxnas.ops.costs import Rates
from jaxnas.search.budget import config_in_steps
from jaxnas.search.history import History
from jaxnas.search.objective import ACCURACY, SearchObjective
from jaxnas.search.stage import (
    METHODS,
    RANKING_BATCHES,
    make_history,
    proxy,
    search_loss,
)
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.supernet import supernet


@dataclass(frozen=True)
class _Parts:
    """A search, the method that concludes it, and its history."""

    search: FederatedSearch
    method: Any
    history: History


def check_search(config: Config, cohort: Cohort) -> None:
    """Raises UserError for whatever a search would stumble over; computes and writes nothing."""
    search_federation(config, _parts(config, cohort, ACCURACY, None).search, Clock())


def search(
    run: Run, cohort: Cohort, writer: MetricWriter, *, aim: SearchObjective = ACCURACY
) -> Genotype:
    """Searches across clients, writes alphas.json and genotype.json, and returns the genotype.

    The `aim` is the same at every client.
    """
    parts = _parts(run.config, cohort, aim, run_rates(run))
    state = search_rounds(run, parts.search, writer)
    ranking = _ranking(parts.search.batches)
    genotype = parts.method.conclude(state.key, state.server["params"], ranking)
    run.dir.alphas.write(parts.history.summary(run.config.network.nodes))
    run.dir.genotype.write(genotype)
    return genotype


def _parts(config: Config, cohort: Cohort, aim: SearchObjective, rates: Rates | None) -> _Parts:
    counted = config_in_steps(config, config.federated.search_rounds)  # a check is a round
    history, net = make_history(counted), supernet(proxy(config), rates=rates)
    # The masks come with the batches.
    loss = search_loss(config, net, config.acquisitions[0])
    method = METHODS[config.search.method](counted, loss, history, aim)
    search = FederatedSearch(
        cohort,
        search_batches(config, cohort),
        lambda key: init_variables(key, net),
        lambda local, w_tx, a_tx: replace(method, config=local).make_step(w_tx, a_tx),
        method.on_log,
        history,
    )
    return _Parts(search, method, history)


def _ranking(batches: ClientBatches) -> Iterator[Any]:
    """Validation batches to rank candidates on: the same number of every client's."""
    each = -(-RANKING_BATCHES // len(batches.streams))
    for i in range(each):
        for stream in batches.streams:
            yield stream.valid.batch(i)
