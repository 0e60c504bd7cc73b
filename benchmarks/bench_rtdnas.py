"""RT-DNAS: a search step of the two-level supernet, and a derived network at inference.

`rtdnas/supernet`: ten layers, four scales, 8 channels, a quarter of them through the operations,
batch 4 of 128², float32; first order, SGD with momentum on the weights with one half of the batch,
then Adam on all logits with the other half. Compared are the gradients: PyTorch computes the 70
live cells, ours all cells of the grid, the dead ones with weight zero. `rtdnas/inference`: the
network of configs/rtdnas/genotype.json, 32 channels, a stack of 10 slices of 160².
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.cases import Case
from benchmarks.rows import Row, memory_row, time_row
from benchmarks.suite import SUITE
from benchmarks.timing import Prepared, Program, compare, serve

# The gradient of the logits follows the step of the weights: a large one makes it chaotic.
W_RATE, A_RATE, MOMENTUM = 1e-4, 1e-3, 0.9
GENOTYPE = Path(__file__).parent.parent / "configs" / "rtdnas" / "genotype.json"
SUPERNET, INFERENCE = "jaxnas_supernet", "jaxnas"
SLICES = 10
# The gradient of a weight in front of a normalisation is a small difference of large numbers: two
# memory layouts of PyTorch differ by 2e-2.
TOLERANCES = {
    "cpu": {"supernet": 5e-2, "inference": 1e-3},
    "gpu": {"supernet": 1e-1, "inference": 1e-2},  # TF32, in both
}[SUITE]


@dataclasses.dataclass(frozen=True)
class Setting:
    """The supernet's size."""

    layers: int = 10
    scales: int = 4
    channels: int = 8
    partial: int = 4
    nodes: int = 3
    size: int = 128
    batch: int = 4


def make_supernet(setting: Setting):
    """The space, and its loss(params, alphas, batch, key)."""
    from jaxnas.ops.norm import STATISTICS
    from jaxnas.segmentation.loss import cross_entropy
    from jaxnas.spaces.grid import Grid
    from jaxnas.spaces.rtdnas import RTDNAS
    from jaxnas.spaces.rtdnas_supernet import RtdnasSupernet

    space = dataclasses.replace(
        RTDNAS, grid=Grid(setting.layers, setting.scales), nodes=setting.nodes
    )
    net = RtdnasSupernet(
        space.grid,
        space.operations,
        space.nodes,
        channels=setting.channels,
        partial=setting.partial,
    )

    def loss(params, alphas, batch, key):
        weights = space.relax(alphas)
        logits, _ = net.apply(
            {"params": params}, batch["image"][..., None], weights, train=True, mutable=[STATISTICS]
        )
        return cross_entropy(logits, batch["label"])

    return space, net, loss


def make_supernet_problem(path: Path, setting: Setting) -> None:
    """Writes weights, logits and both halves of a batch."""
    import jax
    import jax.numpy as jnp

    from benchmarks.ours import draw_weights, flat

    space, net, _ = make_supernet(setting)
    rng = np.random.default_rng(1)
    shape = (setting.batch, setting.size, setting.size)
    alphas = flat(space.init_alphas(jax.random.key(1)), "alphas/")
    init = jax.eval_shape(
        lambda: net.init(
            jax.random.key(0),
            jnp.zeros((*shape, 1)),
            space.relax(space.init_alphas(jax.random.key(1))),
            train=True,
        )
    )
    arrays = {f"params/{n}": w for n, w in draw_weights(init["params"], stacked="layers/").items()}
    arrays |= {name: 300 * np.asarray(x) for name, x in alphas.items()}  # far from even
    for half in ("train", "valid"):
        arrays[f"image_{half}"] = rng.normal(size=shape).astype(np.float32)
        arrays[f"label_{half}"] = rng.integers(0, 4, shape).astype(np.int32)
    np.savez(
        path,
        setting=json.dumps(dataclasses.asdict(setting)),
        live=np.array(space.grid.cells),
        mask=space.grid.mask,
        operations=np.array(space.operations),
        **arrays,
    )


def prepare_supernet(problem: dict[str, np.ndarray]) -> Prepared:
    """The step of jaxnas."""
    import jax
    import optax

    from benchmarks.ours import flat, prepare_step, unflat
    from jaxnas.search.darts import make_first_order_step
    from jaxnas.search.moves import init_search_state

    _, _, loss = make_supernet(Setting(**json.loads(str(problem["setting"]))))
    w_tx, a_tx = optax.sgd(W_RATE, momentum=MOMENTUM), optax.adam(A_RATE)
    step = make_first_order_step(loss, w_tx, a_tx)
    state = init_search_state(
        jax.random.key(0), unflat(problem, "params/"), unflat(problem, "alphas/"), w_tx, a_tx
    )
    batch = {
        half: {name: jax.numpy.asarray(problem[f"{name}_{half}"]) for name in ("image", "label")}
        for half in ("train", "valid")
    }

    def gradients(state):
        # After one step the momentum is the gradient, and Adam's first moment a tenth of it.
        alphas = jax.tree.map(lambda m: 10 * m, state.a_opt[0].mu)
        return flat(state.w_opt[0].trace, "params/") | flat(alphas, "alphas/")

    return prepare_step(lambda state, batch: step(state, batch)[0], state, (batch,), gradients)


def make_network(setting: dict):
    """The derived network."""
    from jaxnas.segmentation.networks import build_segmentation_network
    from jaxnas.spaces.genotype import load_genotype

    genotype = load_genotype(GENOTYPE)
    return build_segmentation_network(
        "derived", channels=setting["channels"], classes=4, genotype=genotype
    )


def make_inference_problem(path: Path, *, channels: int = 32, size: int = 160) -> None:
    """Writes the variables of a network and a stack of slices."""
    import jax
    import jax.numpy as jnp

    from benchmarks.ours import draw_weights
    from jaxnas.spaces.grid import union_cells

    setting = {"channels": channels}
    net, rng = make_network(setting), np.random.default_rng(1)
    stack = rng.normal(size=(SLICES, size, size)).astype(np.float32)
    x = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
    init = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, train=False), x)
    setting |= {"picks": dict(net.genotype.cells), "cells": union_cells(net.genotype.paths)}
    arrays = draw_weights(dict(init), gain=2.0)
    np.savez(path, setting=json.dumps(setting), image=stack, **arrays)


def prepare_inference(problem: dict[str, np.ndarray]) -> Prepared:
    """The compiled network, as `Predictor` runs it."""
    import jax.numpy as jnp

    from benchmarks.ours import prepare_function, unflat
    from jaxnas.ops.norm import fold_norms

    net = make_network(json.loads(str(problem["setting"])))
    names = ("params", "batch_stats")
    variables = fold_norms({name: unflat(problem, f"{name}/") for name in names})

    def apply(variables, stack):
        return net.apply(variables, stack[..., None], train=False)

    return prepare_function(
        apply, (variables, jnp.asarray(problem["image"])), lambda y: {"logits": y}
    )


def prepare(name: str, problem: dict[str, np.ndarray]) -> Prepared:
    """Our program of that name."""
    from jaxnas.core.runtime import keep_freed_memory

    keep_freed_memory()
    return {SUPERNET: prepare_supernet, INFERENCE: prepare_inference}[name](problem)


def measure_supernet(folder: Path) -> Iterator[Row]:
    """Time, memory and compilation of the search step."""
    make_supernet_problem(folder / "problem.npz", Setting())
    peers = ("torch_channels_last", "torch_nchw", "torch_grouped")
    module = "benchmarks.peers.torch_rtdnas_supernet"
    programs = [
        Program(SUPERNET, "benchmarks.bench_rtdnas"),
        *(Program(name, module, "torch") for name in peers),
    ]
    tolerance = TOLERANCES["supernet"]
    outcome = compare(programs, folder / "problem.npz", tolerance=tolerance, rounds=5)
    yield time_row("rtdnas/supernet", outcome)
    ours = outcome.records.get(SUPERNET)
    seconds = ours.facts["compile_s"] if ours else None
    yield Row("rtdnas/compile", "s", seconds, note="the step; no peer compiles")
    yield memory_row("memory/rtdnas", outcome)


def measure_inference(folder: Path) -> Iterator[Row]:
    """Slices per second of the derived network."""
    make_inference_problem(folder / "problem.npz")
    module = "benchmarks.peers.torch_rtdnas_net"
    peers = ("torch_channels_last", "torch_nchw", "torch_compile")
    programs = [
        Program(INFERENCE, "benchmarks.bench_rtdnas"),
        *(Program(name, module, "torch") for name in peers),
    ]
    outcome = compare(programs, folder / "problem.npz", tolerance=TOLERANCES["inference"])
    yield time_row("rtdnas/inference", outcome, items=SLICES)


CASES = (
    Case(("rtdnas/supernet", "rtdnas/compile", "memory/rtdnas"), measure_supernet),
    Case(("rtdnas/inference",), measure_inference),
)

if __name__ == "__main__":
    serve(prepare)
