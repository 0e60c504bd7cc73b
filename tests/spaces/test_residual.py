"""The space `unrolled`: hand-made networks are its points, the supernet holds what is derived."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnas.core.errors import UserError
from jaxnas.metrics.cost import count_params
from jaxnas.models.costing import abstract_measurement, network_cost
from jaxnas.models.registry import MODELS
from jaxnas.mri.acquisition import Measurement
from jaxnas.spaces.arrangement import arrangements, rearranged
from jaxnas.spaces.denoiser import CELL
from jaxnas.spaces.genotype import Genotype, genotype_from_json
from jaxnas.spaces.residual import ResidualCells, end_weights
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.supernet import derived_network, fit_genotype, space_of

CONFIG = NetworkConfig(space="unrolled", channels=4, cells=3, cascades=2, nodes=3)
SPACE = space_of(CONFIG)
SIZE = (16, 16)
CHAIN = (("std_conv_3x3", 0),), (("std_conv_3x3", 1),), (("skip_connect", 2),)
# The names of the layers of a cell in the hand-made network, by those here.
LAYERS = {
    "dccnn": {
        "cell{n}/nodes/edge0_0/std_conv_3x3": "block{n}/conv1",
        "cell{n}/nodes/edge1_1/std_conv_3x3": "block{n}/conv2",
    },
    "rdn": {
        "cell/nodes/edge0_0/std_conv_3x3": "dilated1",
        "cell/nodes/edge1_1/dil_2_std_conv_3x3": "dilated2",
        "cell/nodes/edge2_2/dil_3_std_conv_3x3": "dilated3",
    },
}


def hand_made_of(nodes):
    return SPACE.bound(nodes).hand_made()


def measurement():
    rng = np.random.default_rng(0)
    mask = jnp.asarray(rng.random((1, 1, SIZE[1])) < 0.5, jnp.float32)
    kspace = rng.normal(size=(1, *SIZE)) + 1j * rng.normal(size=(1, *SIZE))
    return Measurement(jnp.asarray(kspace, jnp.complex64) * mask, mask, None, jnp.ones(1))


def noisy(params, seed=3):
    """The parameters with biases that are not zero."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    return tree.unflatten([x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys)])


def renamed(params, name):
    """The parameters of a genotype under the names of the hand-made network."""
    layers = LAYERS["rdn" if name == "rdn" else "dccnn"]
    moved = {}
    for path, leaf in flatten_dict(params, sep="/").items():
        for own, other in layers.items():
            for n in range(CONFIG.cells):
                path = path.replace(own.format(n=n), other.format(n=n))
                # A node's bias is that of its only convolution.
                node, edge = own.format(n=n).split("/edge")
                path = path.replace(f"{node}/bias{edge[0]}", f"{other.format(n=n)}/bias")
        moved[path] = leaf
    return unflatten_dict(moved, sep="/")


@pytest.mark.parametrize("name", ["dccnn", "modl", "rdn"])
def test_hand_made_networks_are_points(name):
    genotype = hand_made_of(3)[name]
    net, theirs = derived_network(CONFIG, genotype), MODELS[name](CONFIG)
    assert network_cost(net, SIZE).to_json() == network_cost(theirs, SIZE).to_json()
    x = measurement()
    params = noisy(net.init(jax.random.key(0), x)["params"])
    mine, other = (
        net.apply({"params": params}, x),
        theirs.apply({"params": renamed(params, name)}, x),
    )
    np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)


def test_kernels_start_as_those_of_dccnn():
    wide = CONFIG.model_copy(update={"channels": 32, "cascades": 1, "cells": 1})
    mine, theirs = derived_network(wide, hand_made_of(3)["dccnn"]), MODELS["dccnn"](wide)
    own, other = (net.init(jax.random.key(0), measurement())["params"] for net in (mine, theirs))
    spreads = {name: leaf.std() for name, leaf in flatten_dict(other, sep="/").items()}
    for path, layer in LAYERS["dccnn"].items():
        kernel = flatten_dict(own, sep="/")[f"cascade0/{path.format(n=0)}/kernel"]
        expected = spreads[f"cascade0/{layer.format(n=0)}/kernel"]
        np.testing.assert_allclose(kernel.std(), expected, rtol=0.05)


TREES = {
    "chain": CHAIN,
    "branches": ((("sep_conv_3x3", 0),), (("conv_9x1_1x9", 0),), (("std_conv_5x5", 1),)),
    "skips": ((("skip_connect", 0),), (("dil_2_conv_3x3", 0),), (("skip_connect", 2),)),
}


@pytest.mark.parametrize("body", ["residual", "recursive"])
@pytest.mark.parametrize("tree", TREES)
def test_the_supernet_at_one_hot_alphas_is_the_derived_network(tree, body):
    genotype = Genotype("unrolled", ((CELL, TREES[tree]),))
    fields = {"channels": 4, "cells": 2, "body": body}
    mixed = ResidualCells(SPACE, **fields)
    picked = ResidualCells(SPACE, genotype=genotype, **fields)
    x = jax.random.normal(jax.random.key(1), (1, *SIZE, 2))
    weights = SPACE.relax(SPACE.one_hot_alphas(genotype))
    params = noisy(mixed.init(jax.random.key(0), x, weights)["params"])
    own = picked.init(jax.random.key(0), x)["params"]
    shared = flatten_dict(params)
    kept = unflatten_dict({path: shared[path] for path in flatten_dict(own)})
    np.testing.assert_allclose(
        mixed.apply({"params": params}, x, weights),
        picked.apply({"params": kept}, x),
        rtol=1e-5,
        atol=1e-5,
    )


def test_ends_are_where_no_node_reads():
    """Against the enumeration of all graphs of two operations and `none`."""
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.ones(3), size=6)
    operations = ("std_conv_3x3", "skip_connect", "none")
    edges = [(i, j) for i in range(3) for j in range(i + 1)]
    expected = np.zeros(3)
    for picks in np.ndindex(*(3,) * 6):
        probability = np.prod([table[e, p] for e, p in enumerate(picks)])
        read = {j - 1 for (i, j), p in zip(edges, picks) if p != 2}
        expected += [probability * (node not in read) for node in range(3)]
    found = end_weights(jnp.asarray(table, jnp.float32), operations)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_gradients_reach_alphas_and_weights():
    net = ResidualCells(SPACE, channels=4, cells=1)
    x = jax.random.normal(jax.random.key(1), (1, *SIZE, 2))
    alphas = SPACE.init_alphas(jax.random.key(2))
    params = noisy(net.init(jax.random.key(0), x, SPACE.relax(alphas))["params"])

    def loss(params, alphas):
        return jnp.mean(net.apply({"params": params}, x, SPACE.relax(alphas)) ** 2)

    by_params, by_alphas = jax.grad(loss, (0, 1))(params, alphas)
    assert all(float(jnp.abs(g).max()) > 0 for g in jax.tree.leaves(by_params))
    assert float(jnp.abs(by_alphas[CELL]).min()) > 0


@pytest.mark.parametrize("seed", range(5))
def test_random_genotypes_belong_to_the_space(seed):
    alphas = SPACE.random_alphas(jax.random.key(seed))
    genotype = SPACE.derive(jax.tree.map(np.asarray, SPACE.relax(alphas)))
    assert fit_genotype(CONFIG, genotype) == genotype
    assert all(len(node) == 1 for node in genotype.cell(CELL))


@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
def test_examples_and_hand_made_ones_fit(nodes):
    config = CONFIG.model_copy(update={"nodes": nodes})
    fit_genotype(config, space_of(config).example_genotype())
    for genotype in hand_made_of(nodes).values():
        fit_genotype(config, genotype)


class TestArrangement:
    genotype = rearranged(hand_made_of(3)["dccnn"], {"cascades": 3, "channels": 6, "cells": 1})

    def test_it_is_what_is_built(self):
        plain = CONFIG.model_copy(update={"cascades": 3, "channels": 6, "cells": 1})
        expected = network_cost(derived_network(plain, hand_made_of(3)["dccnn"]), SIZE)
        assert network_cost(derived_network(CONFIG, self.genotype), SIZE) == expected

    def test_it_travels(self):
        value = self.genotype.to_json()
        assert value["arrangement"]["cascades"] == 3
        assert genotype_from_json(value) == self.genotype

    def test_what_a_genotype_says_stays(self):
        assert dict(rearranged(self.genotype, {"cascades": 9}).arrangement)["cascades"] == 3

    def test_a_papers_space_is_arranged_too(self):
        config = NetworkConfig(space="csmri_a", channels=4, cells=2, nodes=1)
        genotype = rearranged(space_of(config).example_genotype(), {"channels": 2, "cells": 1})
        net = derived_network(config, genotype)
        expected = derived_network(
            config.model_copy(update={"channels": 2, "cells": 1}),
            space_of(config).example_genotype(),
        )
        assert network_cost(net, SIZE) == network_cost(expected, SIZE)

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"cascade": 2}, "arrangement.cascade: space 'unrolled' does not arrange it"),
            ({"cells": 0}, "arrangement.cells: found 0"),
            ({"body": "plain"}, "arrangement.body: found 'plain'"),
            ({"learn_lam": True}, "learn_lam needs a finite starting value"),
        ],
    )
    def test_what_cannot_be_is_refused(self, values, said):
        genotype = rearranged(space_of(CONFIG).example_genotype(), values)
        with pytest.raises(UserError, match=r"file\.json") as caught:
            fit_genotype(CONFIG, genotype, where="file.json")
        assert said in str(caught.value)

    def test_a_body_is_of_residual_cells_alone(self):
        with pytest.raises(ValueError, match="space: unrolled"):
            NetworkConfig(space="csmri_a", body="recursive")

    @pytest.mark.parametrize("value", [[], "4", {"cells": [1]}])
    def test_a_malformed_one_is_refused(self, value):
        with pytest.raises(UserError, match="arrangement"):
            genotype_from_json({**hand_made_of(3)["rdn"].to_json(), "arrangement": value})


def test_all_arrangements_are_listed():
    assert len(arrangements({"cascades": (1, 2, 3), "channels": (4, 8), "shared": (False,)})) == 6
    assert arrangements({}) == ((),)


def test_parameters_of_the_papers_networks():
    config = NetworkConfig(space="unrolled", channels=32, cells=3, cascades=3, nodes=3)
    counts = {}
    for name, genotype in hand_made_of(3).items():
        net = derived_network(config, genotype)
        shapes = jax.eval_shape(net.init, jax.random.key(0), abstract_measurement(SIZE))
        counts[name] = count_params(shapes["params"])
    assert counts == {"dccnn": 170_022, "modl": 56_674, "rdn": 86_790}
