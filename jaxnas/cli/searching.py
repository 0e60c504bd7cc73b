"""One search in any setting."""

from jaxnas.engine.cohort import Cohort
from jaxnas.engine.logs import MetricWriter
from jaxnas.engine.run import Run
from jaxnas.fed.clients_file import write_clients
from jaxnas.fed.search import search_clients
from jaxnas.search.methods import SearchProblem
from jaxnas.search.stage import search
from jaxnas.spaces.genotype import Genotype


def run_search(run: Run, cohort: Cohort, problem: SearchProblem, writer: MetricWriter) -> Genotype:
    """Searches across clients, else at the site, or on the first of its folds."""
    if not cohort.weights:
        return search(run, cohort.head, problem, writer)
    write_clients(run.dir, cohort)
    return search_clients(run, cohort, problem, writer)
