"""The networks of a config: which ones, called what, and what of them is kept."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.core.files import read_json
from jaxnas.engine.run import Run
from jaxnas.search.calibration import fit_calibration
from jaxnas.search.latency import OperationTimes
from jaxnas.search.section import DecodeConfig
from jaxnas.segmentation.deployment import GridDeployment
from jaxnas.segmentation.derive import (
    decoded_networks,
    derive_networks,
    derived_facts,
    derived_genotypes,
    draw_networks,
)
from jaxnas.segmentation.profile import two_level_space
from jaxnas.segmentation.section import SegmentationConfig
from jaxnas.spaces.genotype import load_genotype
from jaxnas.spaces.grid import union_cells

CONFIG = SegmentationConfig(
    task="segmentation",
    data={"size": (32, 32)},
    network={"layers": 6, "scales": 2, "channels": 4},
    decode={"methods": ("dijkstra", "ga", "random"), "paths": (2, 3), "pool": 5, "draws": 3},
)
SPACE = two_level_space(CONFIG)
LINE = fit_calibration([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])


class Stopwatch(GridDeployment):
    """A device on which every cell takes 1 ms."""

    def measure(self, genotype):
        return SimpleNamespace(p50=float(len(union_cells(genotype.paths))))


@pytest.fixture(scope="module")
def device():
    rng = np.random.default_rng(0)
    op_ms = rng.uniform(0.1, 1.0, (2, len(SPACE.operations))).astype(np.float32)
    scaling_ms = np.full((3, 2), 0.1, np.float32)
    return Stopwatch(CONFIG, SPACE, OperationTimes(op_ms, scaling_ms, np.float32(1.0)))


def weights(seed):
    rng = np.random.default_rng(seed)
    cells = {
        name: rng.random((6, len(SPACE.operations))) for name in ("expand", "keep", "contract")
    }
    betas = np.where(SPACE.grid.mask, rng.random(SPACE.grid.mask.shape), 0.0)
    return {"cells": cells, "betas": betas / betas.sum(-1, keepdims=True).clip(1e-9)}


def draw(device, *, seed, draws):
    config = CONFIG.decode.model_copy(update={"draws": draws})
    return list(draw_networks(config, device, LINE, seed))


def test_random_networks_are_a_function_of_the_seed_and_their_number(device):
    found = draw(device, seed=1, draws=6)
    assert found[:4] == draw(device, seed=1, draws=4)
    assert found[0].genotype != draw(device, seed=2, draws=1)[0].genotype
    assert [network.name for network in found] == [f"random_{n}" for n in range(1, 7)]
    assert [len(network.genotype.paths) for network in found] == [2, 3, 2, 3, 2, 3]
    cells, paths = (
        {getattr(network.genotype, part) for network in found} for part in ("cells", "paths")
    )
    assert len(cells) == 6 and len(paths) >= 4, "both are drawn"
    for network in found:
        assert SPACE.check(network.genotype) == network.genotype
        assert network.facts()["decoder"] == "random"
        assert network.measured_ms == len(union_cells(network.genotype.paths))
        assert network.predicted_ms == pytest.approx(2 * device.predict(network.genotype))


def test_random_networks_know_nothing_of_the_search(device):
    config = CONFIG.decode.model_copy(update={"methods": ("random", "dijkstra")})
    one, other = (list(decoded_networks(config, device, weights(seed), LINE, 0)) for seed in (1, 2))
    assert one[:3] == other[:3] and one[3].genotype != other[3].genotype


def test_what_is_derived_stays(device, tmp_path, monkeypatch, capsys):
    run = Run(CONFIG, tmp_path)
    derive_networks(run, device, weights(1), LINE)
    names = [f"derived_{d}_{n}" for d in ("dijkstra", "ga") for n in (2, 3)]
    names += ["random_1", "random_2", "random_3"]
    assert [*derived_facts(run)] == [*derived_genotypes(run)] == names
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in told] == names
    searched = load_genotype(tmp_path / "genotypes" / "derived_ga_3.json")
    assert run.dir.genotype.read() == searched, "a random network is not the result"
    # Another measurement must not exchange networks whose training has begun.
    before = read_json(tmp_path / "networks.json"), derived_genotypes(run)
    monkeypatch.setattr(Stopwatch, "measure", lambda self, genotype: SimpleNamespace(p50=99.0))
    derive_networks(run, device, weights(2), LINE)
    assert (read_json(tmp_path / "networks.json"), derived_genotypes(run)) == before
    assert not capsys.readouterr().err


@pytest.mark.parametrize("method", ["dijkstra", "constrained", "random"])
def test_a_single_network_can_have_a_name(device, method):
    config = DecodeConfig(name="ms_nas", methods=(method,), paths=(2,), draws=1)
    (network,) = decoded_networks(config, device, weights(1), LINE, 0)
    assert (network.name, network.decoder) == ("ms_nas", method)


def test_no_network_has_more_paths_than_the_grid(device):
    grid = dataclasses.replace(SPACE.grid, layers=2)
    small = dataclasses.replace(device, space=dataclasses.replace(SPACE, grid=grid))
    config = DecodeConfig(methods=("random",), paths=(2, 3))
    with pytest.raises(UserError, match=r"3 paths was asked for; .* 2 layers and 2 scales has 2"):
        next(decoded_networks(config, small, weights(1), LINE, 0))
