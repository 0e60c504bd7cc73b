"""The scanned supernet against the sum over cells and edges written out, and one-hot weights."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.ops.norm_operations import NormOperation
from jaxnas.spaces.grid import CELL_TYPES, Grid
from jaxnas.spaces.rtdnas import RTDNAS, RelaxedSupernet
from jaxnas.spaces.rtdnas_network import RtdnasNet
from jaxnas.spaces.rtdnas_supernet import RtdnasSupernet
from jaxnas.spaces.two_level_parts import Head, Scaling, Stem
from tests.models.params import Training, numpy_params

OPERATIONS = ("skip_connect", "sep_conv_3x3", "conv_3x3", "max_pool_3x3")
SPACE = dataclasses.replace(
    RTDNAS, grid=Grid(layers=3, scales=2), operations=OPERATIONS, cell_topk=1
)
NET = RtdnasSupernet(SPACE.grid, OPERATIONS, channels=8)
ROWS = {(1, 0): 0, (2, 0): 1, (2, 1): 2, (3, 0): 3, (3, 1): 4, (3, 2): 5}  # (node, input)


def image(seed=0, net=NET):
    size = 4 * net.stem_stride * 2 ** (net.grid.scales - 2)
    return np.random.default_rng(seed).normal(size=(2, size, size, 1)).astype(np.float32)


def random_weights(space=SPACE, seed=0):
    rng = np.random.default_rng(seed)
    alphas = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32),
        space.init_alphas(jax.random.key(0)),
    )
    return space.relax(alphas)


def make_params(net):
    return numpy_params(Training(net), image(net=net), random_weights(space_of(net)))["params"]


def space_of(net):
    return dataclasses.replace(SPACE, grid=net.grid, operations=net.operations)


def apply(net, params, x, weights):
    return net.apply({"params": params}, x, weights, train=True)


def directions(scale, scales):
    return [d for d in range(3) if 0 <= scale + d - 1 < scales]


def edge_kernels(tile, scale, scales, d, node, source, operation):
    """The kernels of one edge of one cell among those of a tile."""
    cells = directions(scale, scales)
    edges = len(cells) * (3 - source)
    edge = cells.index(d) * (3 - source) + node - 1 - source
    kernels = tile.get(f"from{source}_{operation}", {})

    def own(kernel):
        width = kernel.shape[-1] // edges
        return kernel[..., edge * width : (edge + 1) * width]

    return {name: own(kernel) for name, kernel in kernels.items()}


@cache
def part(module, **options):
    """A part of the network as a program of its own, for all places where it is."""
    return jax.jit(lambda params, x: module.apply({"params": params}, x, **options))


def written_out(net, params, x, weights):
    """The definition: live cells one by one, nodes and edges one by one."""
    scales = net.grid.scales
    stem = Stem(net.channels, net.stem_stride, affine=False)
    tiles = {(0, 0): part(stem, train=True)(params["stem"], x)}
    for l, s, d in net.grid.cells:
        tile = jax.tree.map(lambda leaf, l=l: leaf[l], params["layers"][f"scale{s}"])
        kind, table = CELL_TYPES[d], weights["cells"][CELL_TYPES[d]]
        states = [tiles[l, s]]
        taken = states[0].shape[-1] // net.partial
        for node in (1, 2, 3):
            mixed, passed = 0, 0
            for source in range(node):
                read, row = states[source], table[ROWS[node, source]]
                for weight, name in zip(row, net.operations):
                    kernels = edge_kernels(tile, s, scales, d, node, source, name)
                    mixed += weight * part(NormOperation(name), train=True)(
                        kernels, read[..., :taken]
                    )
                passed += row.sum() * read[..., taken:]
            joined = jnp.concatenate([mixed, passed], axis=-1)
            order = np.arange(joined.shape[-1]).reshape(net.partial, -1).T.ravel()
            states.append(joined[..., order])
        scaling = Scaling(kind, net.channels * 2 ** (s + d - 1), affine=False)
        joined = jnp.concatenate(states[1:], -1)
        y = part(scaling, train=True)(tile[f"scale_{kind}"], joined)
        place = (l + 1, s + d - 1)
        tiles[place] = tiles.get(place, 0) + weights["betas"][l, s, d] * y
    return sum(
        part(Head(s + net.stem_stride - 1))(params[f"head{s}"], tile)
        for (l, s), tile in tiles.items()
        if l == net.grid.layers
    )


@pytest.mark.parametrize(
    "net", [NET, dataclasses.replace(NET, grid=Grid(2, 2, "any"), partial=2, stem_stride=1)]
)
def test_the_scan_is_the_sum_written_out(net):
    params, weights, x = make_params(net), random_weights(space_of(net)), image(net=net)
    got = jax.jit(partial(apply, net))(params, x, weights)
    want = written_out(net, params, x, weights)
    assert got.shape == (*x.shape[:3], 4) and got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, atol=2e-4)


def test_gradients_are_those_of_the_sum_written_out():
    few = ("skip_connect", "dil_conv_3x3")
    net = dataclasses.replace(NET, grid=Grid(layers=2, scales=2), operations=few)
    params, weights, x = make_params(net), random_weights(space_of(net)), image()

    def loss(run, params, weights):
        return jnp.sin(run(net, params, x, weights)).mean()

    got = jax.jit(jax.grad(partial(loss, apply), argnums=(0, 1)))(params, weights)
    want = jax.grad(partial(loss, written_out), argnums=(0, 1))(params, weights)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(want))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4 * largest), got, want)
    assert (np.asarray(got[1]["betas"])[~net.grid.mask] == 0).all()
    for table in got[1]["cells"].values():
        assert (np.asarray(table) != 0).all()


def test_dead_cells_change_nothing_whatever_their_betas_and_weights():
    params, weights, x = make_params(NET), random_weights(), image()
    run = jax.jit(partial(apply, NET))
    other = weights | {"betas": jnp.where(SPACE.grid.mask, weights["betas"], 7.0)}
    np.testing.assert_array_equal(run(params, x, weights), run(params, x, other))

    # Tile (0, 1) is not reached.
    def tripled(leaf):
        return np.concatenate([3 * leaf[:1], leaf[1:]])

    layers = params["layers"] | {"scale1": jax.tree.map(tripled, params["layers"]["scale1"])}
    changed = run(params | {"layers": layers}, x, weights)
    np.testing.assert_array_equal(run(params, x, weights), changed)


@pytest.mark.parametrize("relaxation", ["joint", "separate"])
def test_one_hot_weights_are_the_derived_network(relaxation):
    """All channels, one pick a node and one path: the same function of the same kernels."""
    space = dataclasses.replace(SPACE, relaxation=relaxation)
    genotype = space.random_genotype(np.random.default_rng(1), paths=1)
    genotype = dataclasses.replace(genotype, paths=((0, 1, 1, 0),))
    full, x = dataclasses.replace(NET, partial=1), image()
    params = make_params(full)
    derived = RtdnasNet(genotype, channels=8, affine=False)
    own = {"stem": params["stem"], "head0": params["head0"]}
    for l, s, d in ((0, 0, 2), (1, 1, 1), (2, 1, 0)):
        tile = jax.tree.map(lambda leaf, l=l: leaf[l], params["layers"][f"scale{s}"])
        kind = CELL_TYPES[d]
        cell = {"scale": tile[f"scale_{kind}"]}
        for node, ((name, source),) in enumerate(genotype.cell(kind), start=1):
            kernels = edge_kernels(tile, s, 2, d, node, source, name)
            if kernels:
                cell[f"x{node}_from{source}_{name}"] = kernels
        own[f"layer{l}_scale{s}_{kind}"] = cell
    shapes = jax.eval_shape(partial(derived.init, train=True), jax.random.key(0), x)["params"]
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, shapes)
    weights = space.relax(space.one_hot_alphas(genotype))
    want = derived.apply({"params": own}, x, train=True)
    np.testing.assert_allclose(jax.jit(partial(apply, full))(params, x, weights), want, atol=1e-4)


def test_the_logits_live_in_their_collection(key):
    net, x = RelaxedSupernet(SPACE, NET), image()
    shapes = jax.eval_shape(partial(net.init, train=True), key, x)
    assert jax.tree.map(jnp.shape, shapes["alphas"]) == SPACE.alpha_shapes()
    params, alphas = make_params(NET), SPACE.init_alphas(key)
    assert jax.tree.map(jnp.shape, shapes["params"]) == {"net": jax.tree.map(jnp.shape, params)}
    run = jax.jit(partial(net.apply, train=True))
    got = run({"params": {"net": params}, "alphas": alphas}, x)
    want = jax.jit(partial(apply, NET))(params, x, SPACE.relax(alphas))
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_inference_reads_the_statistics_kept():
    params, weights, x = make_params(NET), random_weights(), image()
    y, kept = jax.jit(partial(NET.apply, train=True, mutable=["batch_stats"]))(
        {"params": params}, x, weights
    )
    again = jax.jit(partial(NET.apply, train=False))({"params": params} | kept, x[:1], weights)
    np.testing.assert_allclose(again, y[:1], atol=1e-4)


def test_computes_in_bfloat16_with_float32_parameters():
    narrow, x, weights = dataclasses.replace(NET, dtype=jnp.bfloat16), image(), random_weights()
    params = make_params(narrow)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}
    y = jax.jit(partial(apply, narrow))(params, x, weights)
    assert y.dtype == jnp.float32 and np.isfinite(y).all()


@pytest.mark.parametrize(
    ("net", "shape", "message"),
    [
        (NET, (1, 10, 8, 1), "divisible by 4"),
        (dataclasses.replace(NET, channels=6), (1, 8, 8, 1), "channels divisible by 4"),
    ],
)
def test_what_does_not_fit_is_refused(net, shape, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(
            partial(net.init, train=True), jax.random.key(0), jnp.ones(shape), random_weights()
        )
