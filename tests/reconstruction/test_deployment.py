"""The latency model of unrolled networks against enumeration, and its gradient."""

from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.reconstruction.deployment import UnrolledDeployment
from jaxnas.reconstruction.profile import Scan, UnrolledTimes
from jaxnas.reconstruction.section import ReconstructionConfig
from jaxnas.search.calibration import Calibration
from jaxnas.search.deployment import latency_objective
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.registry import SPACES

SCAN = Scan((16, 16), 1)
EXACT = Calibration(a=2.0, b=1.0, n=3, mape=0, raw_mape=0, raw_bias_ms=0, spearman=1, kendall=1)


def deployment(space, *, path="serial", objective="accuracy", budget=5.0):
    config = ReconstructionConfig(
        network={"space": space, "nodes": 2, "channels": 2},
        latency={"path": path, "budget_ms": budget},
        search={"objective": objective},
    )
    names = SPACES[space].operations
    ms = np.random.default_rng(0).uniform(0.1, 1.0, len(names)).astype(np.float32)
    ms[[name == "none" for name in names]] = 0
    return UnrolledDeployment(config, SCAN, UnrolledTimes(ms, 3.0, 4))


def uniform(space):
    count = len(SPACES[space].operations)
    return {"normal": jnp.full((5, count), 1 / count)}


def all_genotypes(space):
    """Every cell of two nodes that the space may derive."""
    names = [name for name in SPACES[space].operations if name != "none"]
    for a, b, c, d in product(names, repeat=4):
        for i, j in combinations(range(3), 2):
            yield Genotype(space, (("normal", (((a, 0), (b, 1)), ((c, i), (d, j)))),))


@pytest.mark.parametrize("space", ["csmri_a", "csmri_b"])
def test_the_expectation_is_the_mean_over_all_cells(space):
    found = deployment(space)
    predictions = [found.predict(genotype) for genotype in all_genotypes(space)]
    assert len(predictions) == 4**4 * 3
    expected = float(found.expect(uniform(space)))
    assert expected == pytest.approx(np.mean(predictions), rel=1e-5)
    assert min(predictions) > found.times.fixed_ms


def test_two_operations_on_every_edge_count_both():
    found = deployment("fedautomri")
    genotype = found.random_genotype(np.random.default_rng(0))
    picks = [name for _, nodes in genotype.cells for node in nodes for name, _ in node]
    ms = dict(zip(found.space.operations, found.times.op_ms))
    assert len(picks) == 10
    assert found.predict(genotype) == pytest.approx(3.0 + 4 * sum(ms[p] for p in picks), rel=1e-5)
    mean = np.mean(list(ms.values()))
    assert float(found.expect(uniform("fedautomri"))) == pytest.approx(3 + 4 * 10 * mean, rel=1e-5)


def test_the_longest_path_runs_nodes_side_by_side():
    found = deployment("csmri_a", path="longest")
    ms = dict(zip(found.space.operations, map(float, found.times.op_ms)))
    a, b = "sep_conv_3x3", "dil_3_conv_3x3"
    genotype = Genotype("csmri_a", (("normal", (((a, 0), (b, 1)), ((a, 0), (b, 2)))),))
    longest = max(ms[a], ms[b]) + ms[b]
    assert found.predict(genotype) == pytest.approx(3.0 + 4 * longest, rel=1e-5)


def test_none_has_no_latency_to_offer():
    """It is never kept: neither its weight nor its gradient may buy latency."""
    found = deployment("csmri_a")
    at = found.space.operations.index("none")
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(5, 5)), jnp.float32)

    def latency(logits):
        return found.expect({"normal": jax.nn.softmax(logits)})

    louder = logits.at[:, at].add(9.0)
    assert float(latency(louder)) == pytest.approx(float(latency(logits)), rel=1e-4)
    gradient = np.asarray(jax.grad(latency)(logits))
    assert np.abs(gradient[:, at]).max() < 1e-5 < np.abs(gradient).max()
    assert np.isfinite(jax.grad(latency)(logits.at[:, at].set(200.0))).all()


def test_gradient_against_finite_differences():
    found = deployment("csmri_b", objective="bound")
    objective = latency_objective("bound", found.config.latency, found, EXACT)
    weights = uniform("csmri_b")
    calibrated = 2.0 * float(found.expect(weights)) + 1.0
    assert objective.facts(weights) == {"latency_ms": pytest.approx(calibrated, rel=1e-6)}
    alphas = {"normal": jnp.asarray(np.random.default_rng(2).normal(size=(5, 5)), jnp.float32)}
    step = {"normal": jnp.zeros((5, 5)).at[1, 0].set(1e-2)}

    def total(alphas):
        return objective.total(jnp.float32(0.3), alphas)

    plus, minus = (total(jax.tree.map(lambda a, s, k=k: a + k * s, alphas, step)) for k in (1, -1))
    slope = jax.grad(total)(alphas)["normal"][1, 0]
    assert float(slope) == pytest.approx(float(plus - minus) / 2e-2, rel=2e-2)
