"""The genetic algorithm of RT-DNAS: which paths of the pool make the fastest network.

Gene: a path of the pool. Individual: `count` different genes, sorted by weight. Fitness: the
latency of their network.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from jaxnas.search.decode import Decoded, Fitness, Individual, check_count
from jaxnas.search.section import DecodeConfig
from jaxnas.spaces.grid import Path


@dataclass(frozen=True)
class Evolution:
    """The size of the search; the defaults are the paper's, the rate of mutation is ours."""

    population: int = 20
    generations: int = 100
    mutation: float = 0.3


PAPER_EVOLUTION = Evolution()


def genetic(
    rng: np.random.Generator,
    pool: Sequence[Path],
    count: int,
    fitness: Fitness,
    *,
    evolution: Evolution = PAPER_EVOLUTION,
) -> Decoded:
    """The fastest set of `count` paths that evolution finds; a pure function of `rng`'s seed.

    A generation pairs parents at random; two children come from exchanging some of the genes that
    the parents do not share, and each may have a gene replaced by another of the pool. The fastest
    of parents and children, each individual once, live on: so the best is never lost (the paper
    does not say how it selects). No network is evaluated twice.
    """
    check_count(pool, count)
    known: dict[Individual, float] = {}

    def latency(genes: Individual) -> float:
        if genes not in known:
            known[genes] = fitness(tuple(pool[i] for i in genes))
        return known[genes]

    def fittest(individuals: set[Individual]) -> list[Individual]:
        ranked = sorted(individuals, key=lambda genes: (latency(genes), genes))
        return ranked[: evolution.population]

    alive = fittest(_initial(rng, len(pool), count, evolution.population))
    history = [latency(alive[0])]
    for _ in range(evolution.generations):
        children: list[Individual] = []
        while len(children) < evolution.population:
            parents = [alive[i] for i in rng.choice(len(alive), 2, replace=len(alive) < 2)]
            for child in _crossover(rng, *parents):
                mutates = rng.random() < evolution.mutation
                children.append(_mutate(rng, child, len(pool)) if mutates else child)
        alive = fittest({*alive, *children})
        history.append(latency(alive[0]))
    return Decoded(tuple(pool[i] for i in alive[0]), latency(alive[0]), tuple(history))


def evolved(
    config: DecodeConfig, pool: Sequence[Path], count: int, fitness: Fitness, seed: int
) -> Decoded:
    """`genetic`, as an entry of `DECODERS`, of the size that a config asks for."""
    evolution = Evolution(config.population, config.generations)
    return genetic(np.random.default_rng(seed), pool, count, fitness, evolution=evolution)


def _initial(rng: np.random.Generator, pool: int, count: int, size: int) -> set[Individual]:
    """`size` different random individuals, or all if there are not as many."""
    size = min(size, comb(pool, count))
    individuals: set[Individual] = set()
    while len(individuals) < size:
        individuals.add(_sorted(rng.choice(pool, count, replace=False)))
    return individuals


def _crossover(
    rng: np.random.Generator, a: Individual, b: Individual
) -> tuple[Individual, Individual]:
    """Two parents after they exchanged a random portion of the genes that only one of them has.

    They have equally many of these, so no child has a gene twice or too few.
    """
    own_a, own_b = (rng.permutation(sorted(set(x) - set(y))) for x, y in ((a, b), (b, a)))
    portion = rng.integers(len(own_a) + 1)
    given_a, given_b = set(own_a[:portion]), set(own_b[:portion])
    return _sorted(set(a) - given_a | given_b), _sorted(set(b) - given_b | given_a)


def _mutate(rng: np.random.Generator, genes: Individual, pool: int) -> Individual:
    """One random gene replaced by a random one of the pool that is not present, if there is any."""
    absent = sorted(set(range(pool)) - set(genes))
    if not absent:
        return genes
    lost = rng.integers(len(genes))
    return _sorted({*genes[:lost], *genes[lost + 1 :], rng.choice(absent)})


def _sorted(genes: Iterable[int]) -> Individual:
    return tuple(sorted(int(gene) for gene in genes))
