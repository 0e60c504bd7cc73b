"""The whole reconstruction networks of a space: the supernet, and what is derived from it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.errors import UserError
from jaxnas.core.schema import NetworkConfig
from jaxnas.mri.acquisition import Measurement
from jaxnas.spaces.csmri import SPACES, CellSpace
from jaxnas.spaces.denoiser import CELL, Denoiser
from jaxnas.spaces.derive import cell_edges
from jaxnas.spaces.genotype import Genotype, check_genotype
from jaxnas.spaces.unrolled import Unrolled

ALPHA_SCALE = 1e-3


class Supernet(nn.Module):
    """The unrolled network with mixed edges; its logits live in the collection `alphas`.

    The logits are declared here, once; all cells of all cascades share the softmaxed weights.
    """

    space: CellSpace
    nodes: int
    unrolled: Unrolled

    @nn.compact
    def __call__(self, measurement: Measurement) -> jax.Array:
        """Returns the image, complex64 (B, H, W), in the measurement's scaled units."""
        shape = (len(cell_edges(self.nodes)), len(self.space.operations))
        alphas = {
            name: self.variable(
                "alphas",
                name,
                lambda: ALPHA_SCALE * jax.random.normal(self.make_rng("params"), shape),
            ).value
            for name in self.space.cells
        }
        return self.unrolled(measurement, edge_weights(alphas))


def edge_weights(alphas: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Softmax over the operations of every edge, float32 (edges, operations) (Eq. 13, 14)."""
    return {name: jax.nn.softmax(table, axis=-1) for name, table in alphas.items()}


def supernet(config: NetworkConfig) -> Supernet:
    """The supernet of a config."""
    return Supernet(SPACES[config.space], config.nodes, _unrolled(config, None))


def derived_network(config: NetworkConfig, genotype: Genotype) -> Unrolled:
    """The network of a genotype; UserError if it does not fit the config's space and nodes."""
    fit_genotype(config, genotype)
    return _unrolled(config, genotype)


def fit_genotype(config: NetworkConfig, genotype: Genotype, *, where: str = "genotype") -> Genotype:
    """Returns `genotype` if it belongs to the config's space and has its number of nodes."""
    space = SPACES[config.space]
    real = [name for name in space.operations if name != "none"]
    check_genotype(genotype, space=space.name, cells=space.cells, operations=real, where=where)
    nodes = len(genotype.cell(CELL))
    if nodes != config.nodes:
        raise UserError(
            f"{where}: its cells have {nodes} nodes, network.nodes is {config.nodes}; "
            f"set network.nodes={nodes}"
        )
    return genotype


def example_genotype(config: NetworkConfig) -> Genotype:
    """A genotype without skips that stands in where none was searched yet.

    Every node reads the cell's two inputs through the space's first operation.
    """
    space = SPACES[config.space]
    node = tuple((space.operations[0], source) for source in (0, 1))
    return Genotype(space.name, tuple((cell, (node,) * config.nodes) for cell in space.cells))


def _unrolled(config: NetworkConfig, genotype: Genotype | None) -> Unrolled:
    denoiser = partial(
        Denoiser,
        SPACES[config.space],
        channels=config.channels,
        cells=config.cells,
        nodes=config.nodes,
        plan=config.plan,
        genotype=genotype,
        dtype=compute_dtype(config),
    )
    return Unrolled(
        denoiser,
        cascades=config.cascades,
        lam=config.lam,
        learn_lam=config.learn_lam,
        cg_iterations=config.cg_iterations,
    )


def compute_dtype(config: NetworkConfig) -> Any:
    """The dtype of the convolutions; parameters and data consistency stay float32."""
    return jnp.dtype(config.dtype)
