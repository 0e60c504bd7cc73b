"""The pool of a selection: the candidates that are trained, drawn from all that could be.

A third at least is random, so that chance has its say; the rest takes turns between what a search
found, the hand-made networks that the space holds, and what differs by one operation from these.
Whatever is drawn is within the budget before anything is trained.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol, TypeVar

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.search.registry import RANDOM
from jaxnas.search.section import BudgetConfig, SelectConfig
from jaxnas.spaces.arrangement import arrangements, rearranged
from jaxnas.spaces.genotype import Arrangement, Genotype, describe

SEARCHED, NEIGHBOUR = "searched", "neighbour"  # beside RANDOM and the names of hand-made ones
TRIES = 200  # draws of one random candidate before a budget is taken for too narrow
_STREAM = 7301  # tells the draws of a pool from all others of the seed

_NEAR = 4  # neighbours of each that are in the draw
_MISSING: Any = object()

Costs = Mapping[str, float]
Item = TypeVar("Item")


class CandidateSource(Protocol):
    """All that a task knows of the networks that it could select."""

    def random(self, rng: np.random.Generator) -> Genotype:
        """A genotype drawn uniformly."""
        ...

    def searched(self) -> Sequence[Genotype]:
        """The genotypes of a search before, the last first; none without one."""
        ...

    def hand_made(self) -> Mapping[str, Genotype]:
        """The hand-made networks that are points of the space, by name."""
        ...

    def neighbours(self, genotype: Genotype) -> Sequence[Genotype]:
        """The genotypes that differ in one operation or its input."""
        ...

    def cost(self, genotype: Genotype) -> Costs:
        """`macs` of one image and `params` of a network, and `ms` where a budget is in them;
        UserError where its arrangement does not fit."""
        ...


@dataclass(frozen=True)
class Candidate:
    """A network to be trained: where it comes from, and what it costs."""

    genotype: Genotype
    origin: str
    cost: Costs


def draw_pool(source: CandidateSource, config: SelectConfig, seed: int) -> tuple[Candidate, ...]:
    """The candidates of a config, each once: a function of the config, the seed and the search.

    UserError where nothing fits the budget, or less than `eta` candidates do.
    """
    rng = np.random.default_rng((seed, _STREAM))
    choices = arrangements(dict(config.arrangement))
    found: dict[Genotype, Candidate] = {}

    def admit(genotype: Genotype, origin: str) -> bool:
        if len(found) == config.candidates or genotype in found:
            return False
        cost = source.cost(genotype)
        if not fits(cost, config.budget):
            return False
        found[genotype] = Candidate(genotype, origin, cost)
        return True

    others = _others(source, config.budget, choices, rng)
    while len(found) < config.candidates - config.random_count:
        if (following := next(others, None)) is None:
            break
        admit(*following)
    for _ in range(TRIES * config.candidates):
        if len(found) == config.candidates:
            break
        admit(rearranged(source.random(rng), dict(_pick(choices, rng))), RANDOM)
    if len(found) < config.eta:
        raise UserError(_too_narrow(source, config, choices, len(found)))
    return tuple(found.values())


def fits(cost: Costs, budget: BudgetConfig) -> bool:
    """True where a network costs no more than the budget, and no less than its `least` share."""
    limits = budget.limits
    used = max((cost[name] / limit for name, limit in limits.items()), default=1.0)
    return used <= 1.0 and (not limits or used >= budget.least)


def _others(
    source: CandidateSource,
    budget: BudgetConfig,
    choices: Sequence[Arrangement],
    rng: np.random.Generator,
) -> Iterator[tuple[Genotype, str]]:
    """The candidates that are not random, in turns: searched, hand-made, one edit from either.

    Each comes in the arrangement that uses most of the budget first, later in others.
    """

    def spread(several: Iterable[tuple[Genotype, str]]) -> list[tuple[Genotype, str]]:
        return list(
            _in_turn(
                [(candidate, origin) for candidate in _arranged(source, budget, choices, genotype)]
                for genotype, origin in several
            )
        )

    searched, priors = list(source.searched()), source.hand_made()
    near = [
        neighbour
        for genotype in [*searched[:1], *priors.values()]
        for neighbour in _shuffled(source.neighbours(genotype), rng)[:_NEAR]
    ]
    return _in_turn(
        [
            spread((genotype, SEARCHED) for genotype in searched),
            spread((genotype, name) for name, genotype in priors.items()),
            spread((genotype, NEIGHBOUR) for genotype in _shuffled(near, rng)),
        ]
    )


def _in_turn(several: Iterable[Sequence[Item]]) -> Iterator[Item]:
    """The first of each sequence, then the second of each that has one, and so on."""
    for row in zip_longest(*several, fillvalue=_MISSING):
        yield from (item for item in row if item is not _MISSING)


def _arranged(
    source: CandidateSource,
    budget: BudgetConfig,
    choices: Sequence[Arrangement],
    genotype: Genotype,
) -> list[Genotype]:
    """A genotype in every arrangement within the budget, the one that uses most of it first."""
    made = dict.fromkeys(rearranged(genotype, dict(choice)) for choice in choices)
    costs = {candidate: source.cost(candidate) for candidate in made}
    fitting = [candidate for candidate in made if fits(costs[candidate], budget)]
    return sorted(fitting, key=lambda candidate: -costs[candidate]["macs"])


def _shuffled(items: Sequence[Genotype], rng: np.random.Generator) -> list[Genotype]:
    return [items[i] for i in rng.permutation(len(items))]


def _pick(choices: Sequence[Arrangement], rng: np.random.Generator) -> Arrangement:
    return choices[int(rng.integers(len(choices)))]


def _too_narrow(
    source: CandidateSource, config: SelectConfig, choices: Sequence[Arrangement], found: int
) -> str:
    """The message where too few candidates are within a budget."""
    rng = np.random.default_rng(_STREAM)
    drawn = [rearranged(source.random(rng), dict(choice)) for choice in choices]
    cheapest = min(drawn, key=lambda genotype: source.cost(genotype)["macs"])
    cost = source.cost(cheapest)
    return (
        f"select.budget: {found} fit {config.budget.describe()}, at least select.eta = "
        f"{config.eta} are needed; the cheapest seen has {cost['macs']:,.0f} MACs and "
        f"{cost['params']:,.0f} parameters ({describe(cheapest)}); raise the budget, lower "
        f"select.budget.least, or give select.arrangement smaller values"
    )
