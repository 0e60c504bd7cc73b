"""The derive stage of a segmentation run: networks out of the searched cells and betas.

Every decoder of the config makes its networks, and each is measured. The pool are the best paths
by accumulated weight.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.engine.run import Run
from jaxnas.search.calibration import Calibration
from jaxnas.search.constrained import constrained
from jaxnas.search.decode import best_paths
from jaxnas.search.registry import CONSTRAINED, DECODERS, RANDOM
from jaxnas.search.section import DecodeConfig
from jaxnas.segmentation.deployment import GridDeployment
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.grid import Grid, Path

PREFIXES = ("derived_", "random_")  # of the names of decoded networks


@dataclass(frozen=True)
class DerivedNetwork:
    """A decoded network: how it was found, and what it takes, in ms for one frame."""

    name: str
    decoder: str
    genotype: Genotype
    predicted_ms: float
    measured_ms: float
    budget_ms: float | None = None

    def facts(self) -> dict[str, Any]:
        """The facts that tables give of it besides its scores."""
        return {
            "decoder": self.decoder,
            "paths": len(self.genotype.drawn_paths()),
            "predicted_ms": self.predicted_ms,
            "measured_ms": self.measured_ms,
            "budget_ms": self.budget_ms,
        }


def derive_networks(
    run: Run,
    deployment: GridDeployment,
    weights: Mapping[str, Any],
    calibration: Calibration,
) -> None:
    """Decodes all networks of the config and writes genotypes/NAME.json and networks.json.

    genotype.json is that of the last searched: of the largest budget, or of most paths. UserError
    where a decoder finds none. Once all are written they stay: measured anew, others could come out
    than those that are being trained.
    """
    if run.dir.networks.exists():
        return
    found = []
    for network in decoded_networks(
        run.config.decode, deployment, weights, calibration, run.config.seed
    ):
        found.append(network)
        run.dir.derived(network.name).write(network.genotype)
        run.log(
            f"{network.name}: {len(network.genotype.drawn_paths())} paths, predicted "
            f"{network.predicted_ms:.2f} ms, measured {network.measured_ms:.2f} ms"
        )
    searched = [network for network in found if network.decoder != RANDOM]
    run.dir.genotype.write((searched or found)[-1].genotype)
    run.dir.networks.write({network.name: network.facts() for network in found})


def check_paths_exist(config: DecodeConfig, grid: Grid) -> None:
    """Raises UserError where a network shall have more paths than the grid."""
    if max(config.paths) > grid.paths:
        raise UserError(
            f"decode.paths: a network of {max(config.paths)} paths was asked for; a grid of "
            f"{grid.layers} layers and {grid.scales} scales has {grid.paths}, ask for fewer"
        )


def decoded_networks(
    config: DecodeConfig,
    deployment: GridDeployment,
    weights: Mapping[str, Any],
    calibration: Calibration,
    seed: int,
) -> Iterator[DerivedNetwork]:
    """The networks of every decoder, measured, in the order of the config.

    UserError where the grid has too few paths, or no network keeps a budget.
    """
    check_paths_exist(config, deployment.space.grid)
    space, betas = deployment.space, np.asarray(weights["betas"])
    cells = space.derive(weights)
    pool = best_paths(betas, space.grid, count=config.pool)
    raw = deployment.predictor(cells)

    def predict(paths: tuple[Path, ...]) -> float:
        return float(calibration.predict(raw(paths)))

    def genotype(paths: tuple[Path, ...]) -> Genotype:
        return space.derive(weights, paths=paths)

    def measure(paths: tuple[Path, ...]) -> float:
        return deployment.measure(genotype(paths)).p50

    for decoder in config.methods:
        if decoder == CONSTRAINED:
            for budget in sorted(config.budgets_ms or (deployment.config.latency.budget_ms,)):
                fit = constrained(pool, betas, budget, predict, measure).chosen
                # Not measured once more: what is reported is what was held to the budget.
                yield DerivedNetwork(
                    config.name or f"derived_{decoder}_{budget:g}ms",
                    decoder,
                    genotype(fit.paths),
                    predict(fit.paths),
                    fit.measured_ms,
                    budget,
                )
            continue
        if decoder == RANDOM:
            yield from draw_networks(config, deployment, calibration, seed)
            continue
        for count in config.paths:
            paths = DECODERS[decoder](config, pool, count, predict, seed).paths
            name = config.name or f"derived_{decoder}_{count}"
            yield DerivedNetwork(name, decoder, genotype(paths), predict(paths), measure(paths))


def draw_networks(
    config: DecodeConfig, deployment: GridDeployment, calibration: Calibration, seed: int
) -> Iterator[DerivedNetwork]:
    """Networks of random cells and random paths, measured: what chance finds without a search.

    Number n is a function of `seed` and n alone; the numbers of paths take turns.
    """
    for number in range(config.draws):
        count = config.paths[number % len(config.paths)]
        rng = np.random.default_rng((seed, number))
        genotype = deployment.space.random_genotype(rng, paths=count)
        predicted = float(calibration.predict(deployment.predict(genotype)))
        measured = deployment.measure(genotype).p50
        name = config.name or f"random_{number + 1}"
        yield DerivedNetwork(name, RANDOM, genotype, predicted, measured)


def derived_facts(run: Run) -> dict[str, dict[str, Any]]:
    """The facts about every decoded network of a run, by name; UserError before there are any."""
    if not run.dir.networks.exists():
        raise UserError(f"{run.path}: no network is derived yet; run jaxnas search first")
    return run.dir.networks.read()


def derived_genotypes(run: Run) -> dict[str, Genotype]:
    """The genotypes of all decoded networks of a run, by name."""
    return {name: run.dir.derived(name).read() for name in derived_facts(run)}
