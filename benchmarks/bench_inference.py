"""Derived reconstruction networks at 320²: slices per second, measurement to image, float32.

The networks that were searched on the SIAT slices, with data consistency: three cascades of three
cells (NAS-CSMRI), five shared iterations with λ (FedAutoMRI). Single coil, random columns, one
slice at a time on a CPU, sixteen on a GPU. The weights are random.
Ours is the network as trained and as `jaxnas reconstruct` deploys it, whichever is faster.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.cases import Case
from benchmarks.rows import Row, time_row
from benchmarks.suite import SUITE
from benchmarks.timing import Prepared, Program, compare, serve

CONFIGS = Path(__file__).parent.parent / "configs"
NETWORKS = {  # space: config, genotype
    "csmri_a": ("nas_csmri/siat.yaml", "nas_csmri/genotype_siat.json"),
    "fedautomri": ("fedautomri/siat.yaml", "fedautomri/genotype_siat.json"),
}
SIZE, SLICES = 320, {"cpu": 1, "gpu": 16}[SUITE]
TRAINED, DEPLOYED = "jaxnas", "jaxnas_deployed"
SAMPLED = 0.25  # of the columns
TOLERANCE = {"cpu": 1e-3, "gpu": 1e-2}[SUITE]  # TF32 there, in both


def make_network(space: str):
    """The network section of the config, and the network."""
    from jaxnas.core.config import load_config
    from jaxnas.spaces.genotype import load_genotype
    from jaxnas.spaces.supernet import derived_network

    config, genotype = (CONFIGS / name for name in NETWORKS[space])
    network = load_config(config).network
    return network, derived_network(network, load_genotype(genotype))


def make_problem(path: Path, space: str) -> None:
    """Writes the parameters, k-space and masks."""
    import jax

    from benchmarks.ours import draw_weights
    from jaxnas.models.costing import abstract_measurement
    from jaxnas.spaces.genotype import load_genotype

    network, net = make_network(space)
    rng = np.random.default_rng(1)
    mask = np.float32(rng.random((SLICES, 1, SIZE)) < SAMPLED)
    noise = rng.normal(size=(2, SLICES, SIZE, SIZE))
    kspace = np.complex64(noise[0] + 1j * noise[1]) * mask
    shapes = jax.eval_shape(net.init, jax.random.key(0), abstract_measurement((32, 32)))["params"]
    params = draw_weights(shapes)
    if "log_lam" in params:
        params["log_lam"] = np.log(np.float32(network.lam))
    names = ("channels", "cells", "cascades", "shared")
    setting = {"space": space, **{name: getattr(network, name) for name in names}}
    setting["picks"] = load_genotype(CONFIGS / NETWORKS[space][1]).cell("normal")
    arrays = {f"params/{name}": w for name, w in params.items()}
    np.savez(path, setting=json.dumps(setting), kspace=kspace, mask=mask, **arrays)


def prepare(name: str, problem: dict[str, np.ndarray]) -> Prepared:
    """Our compiled network, as trained or as deployed."""
    from jaxnas.core.runtime import keep_freed_memory

    keep_freed_memory()
    import jax
    import jax.numpy as jnp

    from benchmarks.ours import prepare_function, unflat
    from jaxnas.mri.acquisition import Measurement
    from jaxnas.ops.costs import device_costs
    from jaxnas.spaces.deploy import deploy_params, deployed

    _, net = make_network(json.loads(str(problem["setting"]))["space"])
    measurement = Measurement(
        jnp.asarray(problem["kspace"]), jnp.asarray(problem["mask"]), None, jnp.ones(SLICES)
    )
    params = unflat(problem, "params/")
    if name == DEPLOYED:
        prices = device_costs(jax.default_backend()).deployment
        params, net = deploy_params(net, params, prices=prices), deployed(net, prices=prices)

    def apply(params, measurement):
        return net.apply({"params": params}, measurement)

    return prepare_function(apply, (params, measurement), lambda image: {"image": image})


def measure(space: str, folder: Path) -> Iterator[Row]:
    """Slices per second of one network."""
    make_problem(folder / "problem.npz", space)
    peers = ("torch_channels_last", "torch_nchw", "torch_compile")
    programs = [
        *(Program(name, "benchmarks.bench_inference") for name in (TRAINED, DEPLOYED)),
        *(Program(name, "benchmarks.peers.torch_inference", "torch") for name in peers),
    ]
    outcome = compare(programs, folder / "problem.npz", tolerance=TOLERANCE)
    yield time_row(f"inference/{space}", outcome, items=SLICES)


CASES = tuple(Case((f"inference/{space}",), partial(measure, space)) for space in NETWORKS)

if __name__ == "__main__":
    serve(prepare)
