"""Derived networks: what they consist of, and the parts they add up to."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.trees import count
from jaxnas.metrics.cost import count_cost, count_params
from jaxnas.ops.conv import reference_lowering
from jaxnas.segmentation.networks import segmentation_cost
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.grid import CELL_TYPES, Grid, union_cells
from jaxnas.spaces.rtdnas import RTDNAS
from jaxnas.spaces.rtdnas_network import RtdnasNet, network_parts
from tests.models.params import Training, abstract_params, numpy_params

SKIP, SEP, DIL, CONV = "skip_connect", "sep_conv_3x3", "dil_conv_5x5", "conv_3x3"
NODES = (((SEP, 0),), ((DIL, 0), (SKIP, 1)), ((CONV, 1), (SEP, 2)))
FEW = (((CONV, 0),), ((SKIP, 0),), ((SKIP, 1), (SEP, 2)))
CELLS = tuple((cell, NODES) for cell in CELL_TYPES)
ONE = Genotype("rtdnas", CELLS, ((0, 1, 0),))
SMALL = dataclasses.replace(RTDNAS, grid=Grid(layers=4, scales=3))


def shapes(net, size=32):
    image = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
    return jax.eval_shape(partial(net.init, train=True), jax.random.key(0), image)


def cell_params(c, out):
    """Kernels and affine normalisations of a cell of c channels that leads to `out`."""
    sep = 2 * (9 * c + c * c + 2 * c)
    dil = 25 * c + c * c + 2 * c
    conv = 9 * c * c + 2 * c
    return 2 * sep + dil + conv + 3 * c * out + 2 * out


def test_parameters_by_hand():
    params = shapes(RtdnasNet(ONE, channels=8))["params"]
    stem = 9 * 8 + 9 * 8 * 8 + 2 * 2 * 8
    head = 8 * 4 + 4
    assert count(params) == stem + cell_params(8, 16) + cell_params(16, 8) + head
    assert count(params["layer0_scale0_contract"]) == cell_params(8, 16)


@pytest.mark.parametrize("paths", [1, 2, 6])
@pytest.mark.parametrize("seed", range(3))
def test_every_cell_of_the_paths_is_there_once_and_nothing_else(seed, paths):
    genotype = SMALL.random_genotype(np.random.default_rng(seed), paths=paths)
    params = shapes(RtdnasNet(genotype, channels=4))["params"]
    cells = {f"layer{l}_scale{s}_{CELL_TYPES[d]}" for l, s, d in union_cells(genotype.paths)}
    assert set(params) == cells | {"stem", "head0"}
    for name in cells:
        picks = genotype.cell(name.split("_")[2])
        found = {
            f"x{node}_from{source}_{op}"
            for node, pairs in enumerate(picks, start=1)
            for op, source in pairs
            if op != SKIP
        }
        assert set(params[name]) == found | {"scale"}


def test_a_path_that_adds_no_cell_adds_nothing():
    paths = ((0, 0, 0, 1, 0), (0, 1, 0, 0, 0))
    crossing = (0, 1, 0, 1, 0)
    two, three = (
        RtdnasNet(Genotype("rtdnas", CELLS, p), channels=4) for p in (paths, (*paths, crossing))
    )
    assert jax.tree.map(jnp.shape, shapes(two)) == jax.tree.map(jnp.shape, shapes(three))
    x = np.random.default_rng(0).normal(size=(1, 16, 16, 1)).astype(np.float32)
    params = {"params": abstract_params(Training(two), x)["params"]}
    y, z = (jax.jit(partial(net.apply, train=True)).lower(params, x) for net in (two, three))
    assert y.as_text() == z.as_text()


def test_tiles_are_the_sum_of_their_cells():
    """With the scaling of one of two cells at a tile zero, the network is that of the other."""
    both = Genotype("rtdnas", CELLS, ((0, 0, 0), (0, 1, 0)))
    alone = Genotype("rtdnas", CELLS, ((0, 0, 0),))
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)
    params = numpy_params(Training(RtdnasNet(both, channels=4)), x)["params"]
    params = jax.tree.map(jnp.asarray, params)
    params["layer1_scale1_expand"]["scale"]["norm"] = {"scale": jnp.zeros(4), "bias": jnp.zeros(4)}
    got, want = (
        jax.jit(partial(RtdnasNet(found, channels=4).apply, train=True))({"params": params}, x)
        for found in (both, alone)
    )
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_paths_may_end_at_any_scale(stride):
    genotype = Genotype("rtdnas", CELLS, ((0, 0, 0), (0, 1, 2)))
    net = RtdnasNet(genotype, channels=4, stem_stride=stride, classes=3)
    variables = shapes(net)
    assert {"head0", "head2"} <= set(variables["params"])
    y = jax.eval_shape(
        partial(net.apply, train=False), variables, jnp.ones((2, 8 * stride, 16 * stride, 1))
    )
    assert y.shape == (2, 8 * stride, 16 * stride, 3)


def test_gradient_reaches_every_parameter():
    cells = tuple((cell, NODES if cell == "keep" else FEW) for cell in CELL_TYPES)
    net = RtdnasNet(Genotype("rtdnas", cells, ((0, 0, 0), (0, 1, 0))), channels=4)
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)
    params = numpy_params(Training(net), x)["params"]
    for cell in params.values():  # `numpy_params` sets every vector to zero
        for path, leaf in jax.tree.leaves_with_path(cell):
            if leaf.ndim == 1:
                leaf[:] = 1.0 if "scale" in jax.tree_util.keystr(path[-1:]) else 0.1

    def loss(params):
        return jnp.sin(net.apply({"params": params}, x, train=True)).mean()

    for path, grad in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(params)):
        assert jnp.isfinite(grad).all() and (grad != 0).any(), jax.tree_util.keystr(path)


def test_every_part_is_listed_once():
    parts = network_parts(RTDNAS, (160, 160))
    keys = [(part.name, part.size, part.cin, part.cout) for part in parts]
    assert len(set(keys)) == len(parts) == 1 + 4 * len(RTDNAS.operations) + 10 + 1
    anywhere = dataclasses.replace(RTDNAS, grid=Grid(end="any"))
    assert len(network_parts(anywhere, (160, 160))) == len(parts) + 3
    with pytest.raises(ValueError, match="divisible by 16"):
        network_parts(RTDNAS, (160, 168))


@pytest.mark.parametrize("stride", [1, 2])
def test_parts_map_their_shapes(stride):
    for part in network_parts(SMALL, (16, 24), channels=4, stem_stride=stride):
        x = jax.ShapeDtypeStruct((2, *part.size, part.cin), jnp.float32)
        init = partial(part.module.init, **part.options)
        variables = jax.eval_shape(init, jax.random.key(0), x)
        y = jax.eval_shape(partial(part.module.apply, **part.options), variables, x)
        assert y.shape[-1] == part.cout, part.name
        size = tuple(side // (stride * 2**part.scale) for side in (16, 24))
        assert part.size == ((16, 24) if part.kind == "stem" else size)


@pytest.fixture(scope="module")
def listed():
    """Parameters and multiplications of every part, by its name and scale."""
    table = {}
    for part in network_parts(SMALL, (32, 32), channels=8):
        x = jax.ShapeDtypeStruct((1, *part.size, part.cin), jnp.float32)
        with reference_lowering():
            init = partial(part.module.init, **part.options)
            variables = jax.eval_shape(init, jax.random.key(0), x)
            cost = count_cost(partial(part.module.apply, **part.options), variables, x)
        table[part.name, part.scale] = np.array(
            [count_params(variables.get("params", {})), cost.macs]
        )
    return table


@pytest.mark.parametrize("seed", range(3))
def test_a_network_costs_the_sum_of_its_parts(seed, listed):
    """Every parameter and every multiplication is in a part, at the place where it is listed."""
    genotype = SMALL.random_genotype(np.random.default_rng(seed), paths=3)
    total = listed["stem_stride2", 0] + listed["head_double1", 0]
    for _, scale, direction in union_cells(genotype.paths):
        kind = CELL_TYPES[direction]
        total = total + listed[f"scale_{kind}", scale]
        total = total + sum(listed[op, scale] for picks in genotype.cell(kind) for op, _ in picks)
    cost = segmentation_cost(RtdnasNet(genotype, channels=8), (32, 32))
    assert [cost.params, cost.cost.macs] == total.tolist()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="genotype with paths"):
        shapes(RtdnasNet(dataclasses.replace(ONE, paths=None)))
    with pytest.raises(ValueError, match="divisible by 4"):
        shapes(RtdnasNet(ONE), size=30)
